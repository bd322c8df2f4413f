#pragma once

#include <google/protobuf/descriptor.pb.h>

#include <string>
#include <vector>

namespace prebake::test {

using google::protobuf::FileDescriptorProto;

/// protoc's view of `files`, found below `directories`, and of all that they import if
/// `with_imports`. Type names in it are complete. @throws std::runtime_error with protoc's
/// complaint.
std::vector<FileDescriptorProto> compile(const std::vector<std::string>& directories,
                                         const std::vector<std::string>& files, bool with_imports);

/// The descriptor of package `package` in a Go executable: code generated for gogo protobuf carries
/// its own, compressed with gzip. @throws std::runtime_error if there is none.
FileDescriptorProto embedded_descriptor(const std::string& executable, const std::string& package);

/// A field that the other side's copy may be too old to have.
struct NewerField {
    std::string message;
    std::string name;
    int number;
    google::protobuf::FieldDescriptorProto::Type type;
    std::string since;

    auto operator<=>(const NewerField&) const = default;
};

struct Comparison {
    std::vector<std::string> differences;
    std::size_t methods = 0;
    std::size_t fields = 0;
    std::size_t enum_values = 0;
};

/// Looks in `theirs` for everything that `ours` declares: services and methods (types, streaming),
/// fields (name, number, type, label), enum values.
Comparison compare(const std::vector<FileDescriptorProto>& ours,
                   const std::vector<FileDescriptorProto>& theirs,
                   const std::vector<NewerField>& newer);

}  // namespace prebake::test
