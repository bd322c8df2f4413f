#pragma once

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/layer/decompress.h"
#include "tests/unit/base/bytes_source.h"

/// Compressed streams, made by zlib and libzstd, and what comes of reading them.
namespace prebake::layer::test {

using prebake::tests::BytesSource;

inline std::string little_endian(std::uint64_t value, std::size_t bytes) {
    std::string out;
    for (; bytes > 0; --bytes, value >>= 8) out += static_cast<char>(value & 0xff);
    return out;
}

/// Text, runs, noise and repetitions from far back: the same for the same seed.
inline std::string sample(std::size_t size, unsigned seed = 1) {
    std::mt19937 random(seed);
    std::string out;
    while (out.size() < size) {
        const std::size_t length = 1 + random() % 700;
        switch (random() % 4) {
            case 0:
                out.append(length, static_cast<char>('a' + random() % 26));
                break;
            case 1:
                for (std::size_t i = 0; i < length; ++i) out += static_cast<char>(random());
                break;
            case 2:
                for (std::size_t i = 0; i < length; ++i) out += "etaoin shrdlu"[random() % 13];
                break;
            default:
                if (out.size() > length)
                    out += out.substr(random() % (out.size() - length), length);
        }
    }
    out.resize(size);
    return out;
}

// gzip

struct Deflate {
    int level = 6;
    int strategy = Z_DEFAULT_STRATEGY;
    std::size_t flush_every = 0;  ///< bytes between flushes; 0: none
};

inline std::string deflated(const std::string& body, const Deflate& how = {}) {
    z_stream stream{};
    if (::deflateInit2(&stream, how.level, Z_DEFLATED, -15, 8, how.strategy) != Z_OK)
        throw std::runtime_error("deflateInit2");
    std::string out;
    const std::size_t step = how.flush_every > 0 ? how.flush_every : body.size() + 1;
    std::size_t at = 0;
    int result = Z_OK;
    while (result != Z_STREAM_END) {
        const std::size_t count = std::min(step, body.size() - at);
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data() + at));
        stream.avail_in = static_cast<uInt>(count);
        at += count;
        do {
            char buffer[4096];
            stream.next_out = reinterpret_cast<Bytef*>(buffer);
            stream.avail_out = sizeof(buffer);
            result = ::deflate(&stream, at == body.size() ? Z_FINISH : Z_FULL_FLUSH);
            out.append(buffer, sizeof(buffer) - stream.avail_out);
        } while (stream.avail_out == 0);
    }
    ::deflateEnd(&stream);
    return out;
}

inline std::uint32_t crc_of(const std::string& bytes) {
    return static_cast<std::uint32_t>(
        ::crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

inline std::string gzip_trailer(const std::string& body) {
    return little_endian(crc_of(body), 4) + little_endian(body.size(), 4);
}

inline const std::string kPlainHeader{"\x1f\x8b\x08\0\0\0\0\0\0\xff", 10};

/// A header with these flags, followed by `fields`; with a checksum if the flags say so.
inline std::string gzip_header(unsigned flags, const std::string& fields) {
    std::string header = kPlainHeader + fields;
    header[3] = static_cast<char>(flags);
    if ((flags & 2U) != 0) header += little_endian(crc_of(header) & 0xffff, 2);
    return header;
}

inline std::string gzip_member(const std::string& body, const Deflate& how = {}) {
    return kPlainHeader + deflated(body, how) + gzip_trailer(body);
}

// Zstandard

struct Frame {
    int level = 3;
    bool has_checksum = true;
    bool has_size = true;
    int window_log = 0;  ///< 0: by level and size
};

inline std::string zstd_frame(const std::string& body, const Frame& how = {}) {
    const std::unique_ptr<ZSTD_CCtx, std::size_t (*)(ZSTD_CCtx*)> context(::ZSTD_createCCtx(),
                                                                          &::ZSTD_freeCCtx);
    ::ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, how.level);
    ::ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, how.has_checksum ? 1 : 0);
    ::ZSTD_CCtx_setParameter(context.get(), ZSTD_c_contentSizeFlag, how.has_size ? 1 : 0);
    if (how.window_log > 0)
        ::ZSTD_CCtx_setParameter(context.get(), ZSTD_c_windowLog, how.window_log);
    std::string out(::ZSTD_compressBound(body.size()) + 64, '\0');
    const std::size_t size =
        ::ZSTD_compress2(context.get(), out.data(), out.size(), body.data(), body.size());
    if (::ZSTD_isError(size) != 0) throw std::runtime_error("ZSTD_compress2");
    out.resize(size);
    return out;
}

inline std::string skippable_frame(const std::string& body, unsigned kind = 0) {
    return little_endian(0x184d2a50U + kind, 4) + little_endian(body.size(), 4) + body;
}

// Reading

struct Outcome {
    std::string body;
    std::optional<Error> error;
};

/// What comes out, until the end or an error.
inline Outcome outcome_of(const std::string& compressed, const DecompressionLimits& limits = {},
                          std::size_t buffer_size = 64UL << 10) {
    BytesSource source(compressed);
    Outcome outcome;
    try {
        const auto bytes = decompressed(source, limits);
        std::vector<std::byte> buffer(buffer_size);
        for (;;) {
            const std::size_t got = bytes->read(buffer);
            outcome.body.append(reinterpret_cast<const char*>(buffer.data()), got);
            if (got < buffer.size()) break;
        }
    } catch (const Error& error) {
        outcome.error = error;
    }
    return outcome;
}

inline std::string message_of(const Outcome& outcome) {
    return outcome.error ? outcome.error->message() : std::string();
}

/// One stream, and what reading it gives: `body`, or the error.
struct StreamCase {
    const char* name;
    std::string compressed;
    std::string body;
    std::string message{};
    Errc code = Errc::corrupt;
};

}  // namespace prebake::layer::test
