#include "agent/bake/signature_check.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/text.h"
#include "agent/oci/reference.h"
#include "agent/store/names.h"
#include "agent/store/record.h"
#include "agent/store/stored_image.h"
#include "agent/trust/verification.h"

namespace prebake::bake {
namespace {

/// The recorded signature objects of one image, from one namespace.
class StoredSignatures final : public trust::SignatureSource {
  public:
    StoredSignatures(const v1::BakedImage& image, const std::string& ns,
                     const containerd::Connection& connection)
        : image_(image), namespaces_{ns}, connection_(connection) {}

    std::optional<oci::Document> next() override {
        if (position_ == image_.signatures_size()) return std::nullopt;
        return document(store::descriptor_of(image_.signatures(position_++).manifest()));
    }

    oci::Document blob(const oci::Descriptor& descriptor) override { return document(descriptor); }

  private:
    oci::Document document(const oci::Descriptor& descriptor) const {
        auto bytes =
            store::stored_bytes(connection_, namespaces_, descriptor, trust::kMaxObjectBytes);
        if (bytes) return {.descriptor = descriptor, .bytes = *std::move(bytes)};
        throw Error(Errc::not_found,
                    "blob " + descriptor.digest.str() + " is not in containerd's store");
    }

    const v1::BakedImage& image_;
    std::vector<std::string> namespaces_;
    const containerd::Connection& connection_;
    int position_ = 0;
};

/// The repositories of the image's names in one namespace.
std::vector<std::string> repositories_of(const v1::BakedImage& image,
                                         const v1::Placement& placement) {
    std::vector<std::string> repositories;
    const auto add = [&](const std::string& name) {
        if (store::is_image_id(name)) return;
        std::string repository = oci::Reference::parse(name).name();
        if (std::find(repositories.begin(), repositories.end(), repository) == repositories.end()) {
            repositories.push_back(std::move(repository));
        }
    };
    add(image.name());
    for (const std::string& name : placement.names()) add(name);
    return repositories;
}

/// Checks one image in one namespace.
class PlacementSignatures {
  public:
    PlacementSignatures(const v1::BakedImage& image, const v1::Placement& placement,
                        const trust::Policy& policy, const containerd::Connection& connection,
                        SignatureCheck& result)
        : image_(image),
          placement_(placement),
          policy_(policy),
          connection_(connection),
          result_(result) {}

    /// Adds the fingerprints of keys that this machine does not have to `unknown`.
    void run(trust::NamedBy by, std::map<std::string, std::size_t>& unknown) {
        try {
            check(by, unknown);
        } catch (const Error& error) {
            if (containerd::ends_session(error) || is_retryable(error.code())) throw;
            report(store::FindingKind::unreadable, "signatures that can be checked",
                   error.message());
        }
    }

  private:
    void check(trust::NamedBy by, std::map<std::string, std::size_t>& unknown) {
        const auto required = policy_.required_for(repositories_of(image_, placement_), by);
        for (const trust::Rule* rule : required) check_rule(*rule);
        if (!required.empty()) return;
        for (const v1::Signature& signature : image_.signatures()) {
            const trust::PublicKey* const key = policy_.find_key(signature.key());
            if (key == nullptr) {
                ++unknown[signature.key_file() + ", " + signature.key()];
            } else if (const trust::Verdict verdict = find({*key}); !verdict.proof) {
                report(store::FindingKind::signature_lost,
                       "the recorded signature by " + signature.key_file(),
                       trust::summary_of(verdict.objections));
            }
        }
    }

    void check_rule(const trust::Rule& rule) {
        const std::string expected = "a signature by " + joined(rule.key_files, " or ") + ", as " +
                                     trust::described(rule) + " requires";
        const std::vector<trust::PublicKey> keys = policy_.keys_of(rule);
        if (keys.empty()) {
            return report(store::FindingKind::untrusted, expected,
                          "no key of it can be used on this machine");
        }
        if (image_.signatures().empty()) {
            return report(store::FindingKind::untrusted, expected,
                          "none: it was not required when the image was baked");
        }
        const trust::Verdict verdict = find(keys);
        if (verdict.proof) return;
        report(store::FindingKind::untrusted, expected, trust::summary_of(verdict.objections));
    }

    trust::Verdict find(const std::vector<trust::PublicKey>& keys) {
        const oci::Descriptor target = store::descriptor_of(image_.target());
        const std::optional<std::string> bytes = target_bytes(target);
        StoredSignatures signatures(image_, placement_.namespace_(), connection_);
        trust::Verdict verdict = trust::find_proof(
            {.digest = target.digest, .bytes = bytes ? std::string_view(*bytes) : ""}, keys,
            signatures);
        if (verdict.proof) ++result_.verified;
        return verdict;
    }

    /// Nothing if it is missing or damaged, which is a finding of its own.
    std::optional<std::string> target_bytes(const oci::Descriptor& target) const {
        try {
            return store::stored_bytes(connection_, {placement_.namespace_()}, target,
                                       oci::kMaxManifestBytes);
        } catch (const Error& error) {
            if (error.code() == Errc::corrupt || error.code() == Errc::too_large) return {};
            throw;
        }
    }

    void report(store::FindingKind kind, const std::string& expected, const std::string& found) {
        const std::string& digest = image_.target().digest();
        result_.findings.push_back(
            {.kind = kind,
             .check = store::Check::signatures,
             .image = image_.name(),
             .platform = image_.platform(),
             .ns = placement_.namespace_(),
             .object = "signature of " + digest,
             .subject = digest,
             .expected = expected,
             .found = found,
             .next_step = store::how_to_bake_again(image_, placement_.namespace_())});
    }

    const v1::BakedImage& image_;
    const v1::Placement& placement_;
    const trust::Policy& policy_;
    const containerd::Connection& connection_;
    SignatureCheck& result_;
};

bool is_wanted(const v1::Placement& placement, const std::vector<std::string>& namespaces) {
    return namespaces.empty() || std::find(namespaces.begin(), namespaces.end(),
                                           placement.namespace_()) != namespaces.end();
}

}  // namespace

SignatureCheck check_signatures(const v1::BakeRecord& record, const trust::Policy& policy,
                                const containerd::Connection& connection,
                                const SignatureCheckOptions& options) {
    SignatureCheck result;
    std::map<std::string, std::size_t> unknown;  // keys, and how many signatures they made
    for (const v1::BakedImage& image : record.images()) {
        const auto by =
            image.name() == options.sandbox ? trust::NamedBy::cri : trust::NamedBy::user;
        for (const v1::Placement& placement : image.placements()) {
            if (!is_wanted(placement, options.namespaces)) continue;
            PlacementSignatures(image, placement, policy, connection, result).run(by, unknown);
        }
    }
    for (const Error& problem : policy.problems()) result.notes.emplace_back(problem.what());
    for (const auto& [key, number] : unknown) {
        result.notes.push_back(counted(number, "signature") +
                               " not checked: no rule of this machine has the key (" + key + ")");
    }
    return result;
}

}  // namespace prebake::bake
