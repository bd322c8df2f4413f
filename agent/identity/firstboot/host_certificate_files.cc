#include <algorithm>
#include <chrono>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/identity/firstboot/host_certificate.h"
#include "agent/identity/firstboot/selinux.h"
#include "agent/identity/firstboot/step.h"
#include "agent/identity/firstboot/text_template.h"

namespace prebake::identity::firstboot {
namespace {

constexpr std::size_t kMaxPemBytes = 1UL << 20;

/// Names without a value are left out. A certificate for "localhost" is better than none.
CertificateSubject subject_for(const StepContext& context) {
    const HostCertificateOptions& options = context.options.certificate;
    CertificateSubject subject;
    for (const std::string& name : options.names) {
        const ResolvedTemplate resolved = resolve_template(name, context.metadata);
        const bool is_known = resolved.missing.empty() && !resolved.text.empty();
        const bool is_new = std::find(subject.names.begin(), subject.names.end(), resolved.text) ==
                            subject.names.end();
        if (is_known && is_new) subject.names.push_back(resolved.text);
    }
    const ResolvedTemplate common = resolve_template(options.common_name, context.metadata);
    if (common.missing.empty()) subject.common_name = common.text;
    if (subject.common_name.empty()) {
        subject.common_name = trimmed(context.root.read("/etc/hostname", 4096).value_or(""));
    }
    if (subject.common_name.empty() && !subject.names.empty()) {
        subject.common_name = subject.names.front();
    }
    if (subject.common_name.empty()) subject.common_name = "localhost";
    if (subject.names.empty()) subject.names.push_back(subject.common_name);
    return subject;
}

/// The clock, or, if it has not been set yet, the time of the image's newest program. Otherwise the
/// certificate could expire before the clock is right.
std::chrono::system_clock::time_point plausible_time(const machine::Root& root) {
    using std::chrono::system_clock;
    const auto programs = root.info("/usr/bin");
    if (!programs) return system_clock::now();
    return std::max(system_clock::now(), system_clock::from_time_t(programs->modified_at));
}

}  // namespace

StepResult ensure_host_certificate(const StepContext& context) {
    const HostCertificateOptions& options = context.options.certificate;
    const machine::Root& root = context.root;
    if (options.certificate_file.empty()) {
        throw Error(Errc::usage,
                    "there is a place for the host's TLS key, but none for its certificate",
                    "set [firstboot] tls_certificate");
    }
    const std::string key = root.read(options.key_file, kMaxPemBytes).value_or("");
    const std::string present = root.read(options.certificate_file, kMaxPemBytes).value_or("");
    if (!key.empty() && belongs_to(present, key)) return done("already there");
    const CertificateSubject subject = subject_for(context);
    const auto now = plausible_time(root);
    KeyAndCertificate made;
    if (key.empty()) {
        made = make_key_and_certificate(subject, options.kind, options.valid_for, now);
        root.write(options.key_file, made.key, our_file(0600));
        context.crash("host-certificate:key");
    } else {
        // After a crash, or if the key is the administrator's: it stays.
        made.certificate = in_context(options.key_file, [&] {
            return make_certificate(key, subject, options.kind, options.valid_for, now);
        });
    }
    root.write(options.certificate_file, made.certificate, our_file(0644));
    restore_contexts(root, {options.key_file, options.certificate_file}, context.stop);
    return done("made for " + subject.common_name + ", SHA-256 " +
                certificate_fingerprint(made.certificate));
}

}  // namespace prebake::identity::firstboot
