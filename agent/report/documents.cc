#include "agent/report/documents.h"

#include <algorithm>
#include <string>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/json.h"
#include "agent/hydrate/documents.h"
#include "agent/report/conditions.h"
#include "agent/report/metrics.h"
#include "agent/report/status_format.h"

namespace prebake::report {
namespace {

constexpr const char* kPlainText = "text/plain; charset=utf-8";

std::string line_of(std::string name, const std::string& reason, const std::string& message) {
    std::string line = "[-]" + std::move(name) + " failed: " + reason + ": " + message;
    // One line each, even if a message contains line breaks.
    std::ranges::replace_if(
        line, [](char c) { return c == '\n' || c == '\r'; }, ' ');
    return line + '\n';
}

Response readyz(const v1::NodeStatus& status) {
    Response response{.status = status.ready() ? 200U : 503U, .content_type = kPlainText};
    bool is_explained = status.ready();
    for (const auto& condition : status.conditions()) {
        if (!condition.gates_readiness()) continue;
        if (is_met(condition)) {
            const char* const how = condition.status() == "True" ? " ok\n" : " does not apply\n";
            response.body += "[+]" + condition.type() + how;
        } else {
            is_explained = true;
            response.body += line_of(condition.type(), condition.reason(), condition.message());
        }
    }
    if (!is_explained) response.body += line_of("Ready", status.verdict(), status.message());
    response.body += status.ready() ? "readyz check passed\n" : "readyz check failed\n";
    return response;
}

Response images(const NodeView& view) {
    v1::NodeImages images;
    images.set_schema("prebake.v1.NodeImages");
    *images.mutable_images() = view.status.images();
    return {.body = to_json(images, JsonForm::line) + "\n"};
}

}  // namespace

Response render(Resource resource, const NodeView& view, ImageRows& rows) {
    switch (resource) {
        case Resource::status:
            return {.body = status_json(view.status) + "\n"};
        case Resource::images:
            return images(view);
        case Resource::ledger:
            return {.body = to_json(view.ledger, JsonForm::line) + "\n"};
        case Resource::readyz:
            return readyz(view.status);
        case Resource::livez:
            return {.content_type = kPlainText, .body = "ok\n"};
        case Resource::metrics:
            return {.content_type = kMetricsContentType, .body = metrics_text(view, rows)};
        case Resource::trace:
            break;
    }
    return {};
}

Response trace_response(const std::filesystem::path& file) {
    try {
        return {.body = read_file(file, hydrate::kMaxTraceBytes)};
    } catch (const Error& error) {
        if (error.code() != Errc::not_found) throw;
        return error_response(404, Error(Errc::not_found, "no boot of this node was recorded",
                                         "run prebake record --boot when it boots"));
    }
}

std::shared_ptr<const Response> RenderCache::get(Resource resource,
                                                 const std::shared_ptr<const NodeView>& view) {
    Copy& copy = copies_.at(static_cast<std::size_t>(resource));
    auto response = copy.response.lock();
    if (response && copy.view.lock() == view) return response;
    try {
        if (resource == Resource::trace) {
            return std::make_shared<const Response>(trace_response(trace_file_));
        }
        response = std::make_shared<const Response>(render(resource, *view, rows_));
    } catch (const Error& error) {
        return std::make_shared<const Response>(error_response(500, error));
    }
    copy = {response, view};
    return response;
}

}  // namespace prebake::report
