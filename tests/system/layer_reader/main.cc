// layer_reader FILE...: decompresses layers, and prints a line for each: "ok sha256:DIGEST SIZE",
// or "error CODE MESSAGE".
#include <cstddef>
#include <cstdio>
#include <exception>
#include <fstream>
#include <ios>
#include <span>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/hex.h"
#include "agent/base/stream.h"
#include "agent/layer/decompress.h"
#include "agent/layer/hashing_source.h"

namespace {

using prebake::Error;

class FileSource : public prebake::Source {
  public:
    explicit FileSource(const char* path) : file_(path, std::ios::binary) {
        if (!file_) throw Error(prebake::Errc::io, std::string("cannot open ") + path);
    }
    std::size_t read(std::span<std::byte> buffer) override {
        file_.read(reinterpret_cast<char*>(buffer.data()),
                   static_cast<std::streamsize>(buffer.size()));
        if (file_.bad()) throw Error(prebake::Errc::io, "cannot read the file");
        return static_cast<std::size_t>(file_.gcount());
    }

  private:
    std::ifstream file_;
};

std::string line_for(const char* path) {
    constexpr std::size_t kBufferBytes = 256UL << 10;
    try {
        FileSource file(path);
        const auto bytes = prebake::layer::decompressed(file);
        prebake::layer::HashingSource hashed(*bytes);
        std::vector<std::byte> buffer(kBufferBytes);
        while (hashed.read(buffer) > 0) continue;
        return "ok sha256:" + prebake::to_hex(hashed.finish()) + " " +
               std::to_string(hashed.size());
    } catch (const Error& error) {
        return "error " + std::string(to_string(error.code())) + " " + error.message();
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        for (int i = 1; i < argc; ++i) std::puts(line_for(argv[i]).c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "layer_reader: %s\n", error.what());
        return 1;
    }
    return 0;
}
