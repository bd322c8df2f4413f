#include "agent/cli/image_list_file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <map>

#include "agent/base/ascii.h"
#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/nearest.h"
#include "agent/base/text.h"
#include "agent/base/toml.h"
#include "agent/containerd/connection.h"

namespace prebake::cli {
namespace {

constexpr std::size_t kMaxListBytes = 4UL << 20;

// Errors about a list never quote it. The file may be none, and the output may go to somebody who
// may bake, but not read that file: through AWS Systems Manager, or sudo.

constexpr std::string_view kListForm =
    "a list has [[image]] tables, each with a line like ref = \"docker.io/library/nginx:1.27\", or "
    "one reference a line";

struct Mistake {
    std::size_t offset;
    std::string_view what;
};

/// What Reference::parse() refuses in `text`, and where. Only for messages.
Mistake mistake_in(std::string_view text) {
    constexpr auto kNone = std::string_view::npos;
    if (text.empty()) return {0, "it is empty"};
    if (text.find("://") != kNone) return {0, "it is a URL; leave out the scheme"};
    if (const auto at = text.find_first_of(" \t"); at != kNone) return {at, "it has a space"};
    const auto is_strange = [](char c) {
        return !is_alphanumeric(c) && std::string_view("._-:/@[]").find(c) == kNone;
    };
    if (const auto at = std::find_if(text.begin(), text.end(), is_strange); at != text.end()) {
        return {static_cast<std::size_t>(at - text.begin()), "no reference has such a character"};
    }
    const auto slash = text.find('/');
    const std::size_t repository = slash == kNone ? 0 : slash + 1;
    const auto end = std::min(text.find_first_of(":@", repository), text.size());
    for (std::size_t at = repository; at < end; ++at) {
        if (is_upper(text[at])) return {at, "the repository has an upper-case letter"};
    }
    return {0, "it is not written as [REGISTRY/]REPOSITORY[:TAG][@sha256:DIGEST]"};
}

/// Reference::parse() without its message. `place_of(offset)` is where in the list a character is.
template <typename PlaceOf>
oci::Reference reference_from(std::string_view text, std::string_view what,
                              const PlaceOf& place_of) {
    try {
        return oci::Reference::parse(text);
    } catch (const Error& error) {
        Mistake mistake = mistake_in(text);
        if (error.code() == Errc::unsupported)
            mistake = {0,
                       "its digest is not a sha256 digest, the only kind that containerd stores"};
        throw Error(error.code(),
                    place_of(mistake.offset) + ": " + std::string(what) +
                        " is not an image reference: " + std::string(mistake.what),
                    "for example: docker.io/library/nginx:1.27");
    }
}

std::string position_of(const toml::node& node, const std::string& file) {
    return place_of(node, file) + ":" + std::to_string(node.source().begin.column);
}

Error unknown_list_key(const toml::key& key, const std::string& file,
                       const std::vector<std::string>& known) {
    const std::string meant = nearest(key.str(), known);
    const toml::source_position at = key.source().begin;
    return Error(
        Errc::usage,
        file + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) + ": unknown key",
        meant.empty() ? "a list has these keys here: " + joined(known)
                      : "did you mean \"" + meant + "\"?");
}

/// Reads an [[image]] table into a request.
class EntryReader {
  public:
    EntryReader(const toml::table& table, const std::string& file, const Lookup& lookup)
        : table_(table), file_(file), lookup_(lookup) {}

    bake::ImageRequest read() {
        const toml::node* ref = table_.get("ref");
        if (ref == nullptr) {
            throw Error(Errc::usage, position_of(table_, file_) + ": this [[image]] has no ref",
                        "add a line like ref = \"docker.io/library/nginx:1.27\"");
        }
        request_.origin = place_of(*ref, file_);
        request_.reference = reference(*ref, text(*ref, "ref"), "ref");
        for (const auto& [key, node] : table_) read_key(key, node);
        if (request_.kind == bake::ImageKind::artifact) require_not_unpacked();
        return request_;
    }

  private:
    /// Runs a parser whose own message would quote the value.
    template <typename Parse>
    auto parsed(const toml::node& node, const std::string& key, std::string_view form,
                Parse parse) {
        try {
            return parse();
        } catch (const Error& error) {
            throw Error(error.code(),
                        position_of(node, file_) + ": " + key + " is not " + std::string(form),
                        "for example: " + key + " = " + std::string(example_of(key)));
        }
    }

    using KeyReader = void (EntryReader::*)(const toml::node&, const std::string&);

    void read_key(const toml::key& key, const toml::node& node) {
        static const std::map<std::string, KeyReader, std::less<>> kKeys{
            {"ref", &EntryReader::read_nothing},
            {"digest", &EntryReader::read_digest},
            {"platform", &EntryReader::read_platform},
            {"namespaces", &EntryReader::read_namespaces},
            {"aliases", &EntryReader::read_aliases},
            {"pin", &EntryReader::read_pin},
            {"kind", &EntryReader::read_kind},
            {"runtime", &EntryReader::read_runtime},
            {"priority", &EntryReader::read_priority},
            {"trace", &EntryReader::read_trace},
            {"unpack", &EntryReader::read_unpack},
            {"keep_layers", &EntryReader::read_keep_layers}};
        const auto reader = kKeys.find(key.str());
        if (reader != kKeys.end()) return (this->*reader->second)(node, reader->first);
        std::vector<std::string> known;
        known.reserve(kKeys.size());
        for (const auto& [name, unused] : kKeys) known.push_back(name);
        throw unknown_list_key(key, file_, known);
    }

    static std::string_view example_of(std::string_view key) {
        if (key == "digest") return "\"sha256:<64 hexadecimal digits>\"";
        if (key == "platform") return "\"linux/arm64\"";
        if (key == "namespaces") return "[\"k8s.io\"]";
        if (key == "trace") return "\"traces/nginx.json\"";
        if (key == "aliases") return "[\"docker.io/library/nginx:stable\"]";
        return "\"docker.io/library/nginx:1.27\"";
    }

    void read_nothing(const toml::node&, const std::string&) {}
    void read_digest(const toml::node& node, const std::string& key) {
        const std::string value = text(node, key);
        const oci::Digest digest =
            parsed(node, key, "a digest", [&] { return oci::Digest::parse(value); });
        if (request_.reference.digest && request_.reference.digest != digest) {
            throw Error(Errc::usage,
                        position_of(node, file_) + ": digest contradicts the one in ref",
                        "keep one of the two");
        }
        request_.reference.digest = digest;
        // Create no name for an implied tag: the digest identifies the image.
        if (request_.reference.tag_was_implied) {
            request_.reference.tag.reset();
            request_.reference.tag_was_implied = false;
        }
    }
    void read_platform(const toml::node& node, const std::string& key) {
        const std::string value = text(node, key);
        request_.platform =
            parsed(node, key, "a platform", [&] { return oci::Platform::parse(value); });
    }
    void read_namespaces(const toml::node& node, const std::string& key) {
        request_.namespaces = texts(node, key);
        parsed(node, key, "a list of containerd namespaces", [&] {
            for (const std::string& ns : request_.namespaces) containerd::validate_namespace(ns);
            return 0;
        });
    }
    void read_aliases(const toml::node& node, const std::string& key) {
        for (const std::string& text : texts(node, key)) {
            request_.aliases.push_back(reference(node, text, "an alias"));
            if (!request_.aliases.back().digest) continue;
            throw Error(Errc::usage, position_of(node, file_) + ": an alias has a digest",
                        "use a tag: an alias has the digest of the image");
        }
    }
    void read_pin(const toml::node& node, const std::string& key) {
        request_.pin = truth(node, key);
    }
    /// A name is relative to the directory of the list.
    void read_trace(const toml::node& node, const std::string& key) {
        const std::filesystem::path directory = std::filesystem::path(file_).parent_path();
        for (const std::string& name : texts(node, key)) {
            if (name.empty()) {
                throw Error(Errc::usage, position_of(node, file_) + ": trace names no file",
                            "for example: trace = " + std::string(example_of(key)));
            }
            request_.traces.push_back((directory / name).lexically_normal().string());
        }
    }
    void read_unpack(const toml::node& node, const std::string& key) {
        request_.unpack = truth(node, key);
    }
    void read_kind(const toml::node& node, const std::string& key) {
        request_.kind = one_of(
            node, key,
            std::array{bake::ImageKind::image, bake::ImageKind::artifact, bake::ImageKind::volume});
    }
    void read_runtime(const toml::node& node, const std::string& key) {
        request_.runtime = one_of(
            node, key,
            std::array{bake::Runtime::automatic, bake::Runtime::containerd, bake::Runtime::docker});
    }
    /// The value with that word, by to_string().
    template <typename Meanings>
    typename Meanings::value_type one_of(const toml::node& node, const std::string& key,
                                         const Meanings& meanings) {
        const std::string word = text(node, key);
        std::vector<std::string> known;
        for (const auto meaning : meanings) {
            known.emplace_back(bake::to_string(meaning));
            if (word == known.back()) return meaning;
        }
        throw Error(Errc::usage,
                    position_of(node, file_) + ": " + key + " is none of " + joined(known),
                    "for example: " + key + " = \"" + known.back() + "\"");
    }
    void require_not_unpacked() {
        const toml::node* const unpack = table_.get("unpack");
        if (unpack != nullptr && request_.unpack) {
            throw Error(Errc::usage, position_of(*unpack, file_) + ": an artifact is not unpacked",
                        "remove unpack, or kind = \"artifact\"");
        }
        request_.unpack = false;
    }
    void read_keep_layers(const toml::node& node, const std::string& key) {
        request_.keep_layers = truth(node, key);
    }

    oci::Reference reference(const toml::node& node, const std::string& text,
                             std::string_view what) {
        return reference_from(text, what, [&](std::size_t) { return position_of(node, file_); });
    }
    void read_priority(const toml::node& node, const std::string& key) {
        constexpr std::int64_t kMost = 1'000'000'000;  // as the kubelet's of pods
        const toml::value<std::int64_t>* const value = node.as_integer();
        if (value == nullptr || value->get() < -kMost || value->get() > kMost) {
            throw Error(Errc::usage,
                        position_of(node, file_) + ": " + key +
                            " is not a whole number from -1000000000 to 1000000000",
                        "for example: priority = 10");
        }
        request_.priority = static_cast<int>(value->get());
    }
    bool truth(const toml::node& node, const std::string& key) {
        return in_context(position_of(node, file_), [&] { return bool_value(node, key); });
    }
    std::string text(const toml::node& node, const std::string& key) {
        return in_context(position_of(node, file_), [&] {
            return expand_variables(string_value(node, key, example_of(key)), lookup_);
        });
    }
    std::vector<std::string> texts(const toml::node& node, const std::string& key) {
        return in_context(position_of(node, file_), [&] {
            std::vector<std::string> values = strings_value(node, key, example_of(key));
            for (std::string& value : values) value = expand_variables(value, lookup_);
            return values;
        });
    }

    const toml::table& table_;
    const std::string& file_;
    const Lookup& lookup_;
    bake::ImageRequest request_{
        .reference = {.registry = {}, .repository = {}, .tag = {}, .digest = {}},
        .platform = {},
        .namespaces = {},
        .aliases = {},
        .origin = {}};
};

std::vector<bake::ImageRequest> parse_tables(std::string_view text, const std::string& name,
                                             const Lookup& lookup) {
    const toml::table root = parse_toml(text, name, std::string(kListForm));
    std::vector<bake::ImageRequest> requests;
    for (const auto& [key, node] : root) {
        if (key.str() != "image") throw unknown_list_key(key, name, {"image"});
        const toml::array* tables = node.as_array();
        if (tables == nullptr || !tables->is_homogeneous<toml::table>()) {
            throw Error(Errc::usage, position_of(node, name) + ": image must be a list of tables",
                        "write [[image]] with two brackets before each image");
        }
        for (const toml::node& table : *tables) {
            requests.push_back(EntryReader(*table.as_table(), name, lookup).read());
        }
    }
    return requests;
}

std::string_view trimmed(std::string_view text) {
    static constexpr std::string_view kBlank = " \t\r";
    const std::size_t begin = text.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

/// Calls visit(line, column, text without comment and blanks) for each line that is not empty.
/// Stops when visit() returns false.
template <typename Visit>
void for_each_line(std::string_view text, Visit visit) {
    for (int number = 1; !text.empty(); ++number) {
        const std::size_t end = text.find('\n');
        const std::string_view line = text.substr(0, end);
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
        const std::string_view content = trimmed(line.substr(0, line.find('#')));
        if (content.empty()) continue;
        const auto column = static_cast<std::size_t>(content.data() - line.data()) + 1;
        if (!visit(number, column, content)) return;
    }
}

/// Every TOML list starts with a table or a key; no image reference starts with "[[" or contains an
/// equals sign.
bool looks_like_toml(std::string_view text) {
    bool is_toml = false;
    for_each_line(text, [&](int, std::size_t, std::string_view line) {
        is_toml = line.starts_with("[[") || line.find('=') != std::string_view::npos ||
                  (line.front() == '[' && line.back() == ']');
        return false;
    });
    return is_toml;
}

std::vector<bake::ImageRequest> parse_lines(std::string_view text, const std::string& name,
                                            const Lookup& lookup) {
    std::vector<bake::ImageRequest> requests;
    for_each_line(text, [&](int number, std::size_t column, std::string_view line) {
        const std::string origin = name + ":" + std::to_string(number);
        const auto place_of = [&](std::size_t offset) {
            return origin + ":" + std::to_string(column + offset);
        };
        const std::string written =
            in_context(place_of(0), [&] { return expand_variables(line, lookup); });
        const bool has_variables = written != line;
        requests.push_back(
            {.reference = reference_from(
                 written, "this",
                 [&](std::size_t offset) { return place_of(has_variables ? 0 : offset); }),
             .platform = {},
             .namespaces = {},
             .aliases = {},
             .origin = origin});
        return true;
    });
    return requests;
}

/// A name as environment variables usually have. It alone is quoted: names stand in scripts and
/// templates, and are no secrets.
bool is_usual_name(std::string_view variable) {
    constexpr std::size_t kLongest = 64;
    return variable.size() <= kLongest && !is_digit(variable.front()) &&
           std::all_of(variable.begin(), variable.end(),
                       [](char c) { return is_upper(c) || is_digit(c) || c == '_'; });
}

std::string quoted_list(const std::vector<std::string>& values) {
    std::string text = "[";
    for (const std::string& value : values) {
        if (text.size() > 1) text += ", ";
        text += '"' + value + '"';
    }
    return text + "]";
}

/// Who named the list on the command line can also say that its contents are right.
std::string what_to_do(const Error& untrusted, const std::string& file, WhoseFile whose) {
    if (whose == WhoseFile::ours) return untrusted.next_step();
    return untrusted.next_step() + ", or pass the list as it is: -f - < " + file;
}

}  // namespace

std::string expand_variables(std::string_view text, const Lookup& lookup) {
    std::string expanded;
    for (;;) {
        const std::size_t begin = text.find("${");
        expanded += text.substr(0, begin);
        if (begin == std::string_view::npos) return expanded;
        text.remove_prefix(begin + 2);
        const std::size_t end = text.find('}');
        if (end == std::string_view::npos)
            throw Error(Errc::usage, "\"${\" without a closing brace");
        const std::string_view inside = text.substr(0, end);
        text.remove_prefix(end + 1);
        const std::size_t dash = inside.find(":-");
        const std::string variable(inside.substr(0, dash));
        if (variable.empty()) throw Error(Errc::usage, "${} names no variable");
        if (const auto value = lookup(variable); value && !value->empty()) {
            expanded += *value;
        } else if (dash != std::string_view::npos) {
            expanded += inside.substr(dash + 2);
        } else {
            const std::string name = is_usual_name(variable) ? variable : "NAME";
            throw Error(Errc::usage,
                        (name == variable ? "environment variable " + name
                                          : std::string("an environment variable")) +
                            (value ? " is empty" : " is not set"),
                        "set it, or write ${" + name + ":-default}");
        }
    }
}

std::vector<bake::ImageRequest> parse_image_list(std::string_view text, const std::string& name,
                                                 const Lookup& lookup) {
    // Some editors write a byte order mark.
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    return looks_like_toml(text) ? parse_tables(text, name, lookup)
                                 : parse_lines(text, name, lookup);
}

std::vector<bake::ImageRequest> read_image_list(const std::string& file, WhoseFile whose,
                                                const Lookup& lookup) {
    if (file.empty()) throw Error(Errc::usage, "an image list has an empty name");
    const bool is_stdin = file == "-";
    const std::string name = is_stdin ? "stdin" : file;
    if (!is_stdin && std::filesystem::is_directory(file)) {
        throw Error(Errc::usage, "image list " + file + " is a directory", "name a file in it");
    }
    std::string text;
    try {
        text = is_stdin ? read_descriptor(STDIN_FILENO, name, kMaxListBytes)
                        : read_trusted_file(file, kMaxListBytes, whose);
    } catch (const Error& error) {
        throw Error(Errc::usage, "image list: " + error.message(),
                    error.code() == Errc::untrusted ? what_to_do(error, file, whose)
                                                    : "check its name and its mode");
    }
    std::vector<bake::ImageRequest> requests = parse_image_list(text, name, lookup);
    if (requests.empty()) throw Error(Errc::usage, "image list " + name + " names no image");
    return requests;
}

std::string lock_text(const std::vector<bake::ImageRequest>& requests) {
    std::string text =
        "# Written by prebake plan --lock: each image with its digest at that time.\n";
    for (const bake::ImageRequest& request : requests) {
        text += "\n[[image]]\nref = \"" + request.reference.str() + "\"\n";
        if (request.platform) text += "platform = \"" + request.platform->str() + "\"\n";
        if (!request.namespaces.empty()) {
            text += "namespaces = " + quoted_list(request.namespaces) + "\n";
        }
        if (!request.aliases.empty()) {
            std::vector<std::string> aliases;
            for (const oci::Reference& alias : request.aliases) aliases.push_back(alias.str());
            text += "aliases = " + quoted_list(aliases) + "\n";
        }
        if (!request.traces.empty()) text += "trace = " + quoted_list(request.traces) + "\n";
        if (!request.pin) text += "pin = false\n";
        if (request.runtime && request.runtime != bake::Runtime::automatic) {
            text += "runtime = \"" + std::string(bake::to_string(*request.runtime)) + "\"\n";
        }
        if (request.kind != bake::ImageKind::image) {
            text += "kind = \"" + std::string(bake::to_string(request.kind)) + "\"\n";
        }
        if (!request.unpack && request.kind != bake::ImageKind::artifact) {
            text += "unpack = false\n";
        }
        if (!request.keep_layers) text += "keep_layers = false\n";
        if (request.priority != 0) {
            text += "priority = " + std::to_string(request.priority) + "\n";
        }
    }
    return text;
}

}  // namespace prebake::cli
