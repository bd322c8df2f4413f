#include "tests/lint/proto_compat/descriptors.h"

#include <google/protobuf/io/gzip_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <stdexcept>
#include <string_view>

namespace prebake::test {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::EnumDescriptorProto;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::MethodDescriptorProto;
using google::protobuf::ServiceDescriptorProto;

std::string contents_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// A directory for the output of one run of protoc.
class Scratch {
  public:
    Scratch() {
        std::string pattern = std::filesystem::temp_directory_path() / "prebake-protoc.XXXXXX";
        if (!::mkdtemp(pattern.data())) throw std::runtime_error("no temporary directory");
        path_ = pattern;
    }
    ~Scratch() { std::filesystem::remove_all(path_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

/// Everything in a set of files by its full name: ".package.Message", ".package.Service".
struct Index {
    explicit Index(const std::vector<FileDescriptorProto>& files) {
        for (const FileDescriptorProto& file : files) {
            const std::string scope = "." + file.package();
            for (const auto& message : file.message_type()) add(scope, message);
            for (const auto& type : file.enum_type()) enums[scope + "." + type.name()] = &type;
            for (const auto& service : file.service()) {
                services[scope + "." + service.name()] = &service;
            }
        }
    }

    std::map<std::string, const DescriptorProto*> messages;
    std::map<std::string, const EnumDescriptorProto*> enums;
    std::map<std::string, const ServiceDescriptorProto*> services;

  private:
    void add(const std::string& scope, const DescriptorProto& message) {
        const std::string name = scope + "." + message.name();
        messages[name] = &message;
        for (const auto& nested : message.nested_type()) add(name, nested);
        for (const auto& type : message.enum_type()) enums[name + "." + type.name()] = &type;
    }
};

template <typename Elements>
const typename Elements::value_type* named(const Elements& elements, const std::string& name) {
    for (const auto& element : elements) {
        if (element.name() == name) return &element;
    }
    return nullptr;
}

std::string signature(const MethodDescriptorProto& method) {
    return std::string(method.client_streaming() ? "stream " : "") + method.input_type() + " -> " +
           (method.server_streaming() ? "stream " : "") + method.output_type();
}

std::string signature(const FieldDescriptorProto& field) {
    return FieldDescriptorProto::Label_Name(field.label()) + " " +
           FieldDescriptorProto::Type_Name(field.type()) + " " + field.type_name() + " = " +
           std::to_string(field.number());
}

class Comparer {
  public:
    Comparer(const std::vector<FileDescriptorProto>& ours,
             const std::vector<FileDescriptorProto>& theirs, const std::vector<NewerField>& newer)
        : ours_(ours), theirs_(theirs), unused_(newer.begin(), newer.end()) {}

    Comparison run() {
        for (const auto& [name, service] : ours_.services) compare_service(name, *service);
        for (const auto& [name, message] : ours_.messages) compare_message(name, *message);
        for (const auto& [name, type] : ours_.enums) compare_enum(name, *type);
        for (const NewerField& field : unused_) {
            differ(field.message + "." + field.name, "listed as newer, but not declared by us so");
        }
        return std::move(result_);
    }

  private:
    void differ(const std::string& name, const std::string& how) {
        result_.differences.push_back(name + ": " + how);
    }

    template <typename Element>
    void compare_signatures(const std::string& name, const Element& own, const Element* other) {
        if (!other) {
            differ(name, "they do not have it");
        } else if (signature(own) != signature(*other)) {
            differ(name, "ours is '" + signature(own) + "', theirs '" + signature(*other) + "'");
        }
    }

    void compare_service(const std::string& name, const ServiceDescriptorProto& own) {
        const auto other = theirs_.services.find(name);
        if (other == theirs_.services.end()) return differ(name, "they have no such service");
        for (const auto& method : own.method()) {
            ++result_.methods;
            compare_signatures(name + "/" + method.name(), method,
                               named(other->second->method(), method.name()));
        }
    }

    void compare_message(const std::string& name, const DescriptorProto& own) {
        const auto other = theirs_.messages.find(name);
        if (other == theirs_.messages.end()) return differ(name, "they have no such message");
        if (own.options().map_entry() != other->second->options().map_entry()) {
            differ(name, "a map on one side only");
        }
        for (const auto& field : own.field()) {
            ++result_.fields;
            const auto* same_name = named(other->second->field(), field.name());
            if (is_newer(name, field) && !same_name) {
                // Then nothing else of theirs may stand at this number.
                for (const auto& theirs : other->second->field()) {
                    if (theirs.number() != field.number()) continue;
                    differ(name + "." + field.name(),
                           "its number is that of their " + theirs.name());
                }
                continue;
            }
            compare_signatures(name + "." + field.name(), field, same_name);
        }
    }

    void compare_enum(const std::string& name, const EnumDescriptorProto& own) {
        const auto other = theirs_.enums.find(name);
        if (other == theirs_.enums.end()) return differ(name, "they have no such enum");
        for (const auto& value : own.value()) {
            ++result_.enum_values;
            const auto* theirs = named(other->second->value(), value.name());
            if (!theirs || theirs->number() != value.number()) {
                differ(name + "." + value.name(), "they do not have it, or with another number");
            }
        }
    }

    /// Also strikes the field off the list of those that we must declare.
    bool is_newer(const std::string& message, const FieldDescriptorProto& field) {
        for (auto it = unused_.begin(); it != unused_.end(); ++it) {
            if (it->message == message && it->name == field.name() &&
                it->number == field.number() && it->type == field.type()) {
                unused_.erase(it);
                return true;
            }
        }
        return false;
    }

    Index ours_;
    Index theirs_;
    std::set<NewerField> unused_;
    Comparison result_;
};

}  // namespace

std::vector<FileDescriptorProto> compile(const std::vector<std::string>& directories,
                                         const std::vector<std::string>& files, bool with_imports) {
    const Scratch scratch;
    const auto output = scratch.path() / "descriptors";
    const auto complaints = scratch.path() / "complaints";
    std::string command = "protoc --descriptor_set_out='" + output.string() + "'";
    if (with_imports) command += " --include_imports";
    for (const std::string& directory : directories) command += " -I'" + directory + "'";
    for (const std::string& file : files) command += " '" + file + "'";
    command += " 2>'" + complaints.string() + "'";
    if (std::system(command.c_str()) != 0) {
        throw std::runtime_error(command + "\n" + contents_of(complaints));
    }
    google::protobuf::FileDescriptorSet set;
    if (!set.ParseFromString(contents_of(output))) throw std::runtime_error("protoc's output");
    return {set.file().begin(), set.file().end()};
}

FileDescriptorProto embedded_descriptor(const std::string& executable, const std::string& package) {
    const std::string bytes = contents_of(executable);
    constexpr std::string_view kGzipMagic = "\x1f\x8b\x08";
    for (auto at = bytes.find(kGzipMagic); at != std::string::npos;
         at = bytes.find(kGzipMagic, at + 1)) {
        // More than any descriptor, and no more than the file has.
        const auto length = static_cast<int>(std::min<std::size_t>(bytes.size() - at, 1 << 20));
        google::protobuf::io::ArrayInputStream compressed(bytes.data() + at, length);
        google::protobuf::io::GzipInputStream stream(&compressed,
                                                     google::protobuf::io::GzipInputStream::GZIP);
        FileDescriptorProto descriptor;
        if (descriptor.ParseFromZeroCopyStream(&stream) && descriptor.package() == package) {
            return descriptor;
        }
    }
    throw std::runtime_error("no descriptor of package " + package + " in " + executable +
                             "; install containerd");
}

Comparison compare(const std::vector<FileDescriptorProto>& ours,
                   const std::vector<FileDescriptorProto>& theirs,
                   const std::vector<NewerField>& newer) {
    return Comparer(ours, theirs, newer).run();
}

}  // namespace prebake::test
