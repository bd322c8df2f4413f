#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstddef>
#include <map>
#include <string>

#include "agent/cli/commands.h"
#include "agent/cli/config.h"
#include "agent/report/goal.h"

/// The options of status, and their values.
namespace prebake::cli {

struct StatusOptions {
    std::string format = "text";
    std::string goal = "ready";
    bool is_brief = false;
    bool is_trace = false;
    CLI::Option* wait_option = nullptr;
    std::string wait;  ///< may be empty although --wait is given

    static const std::map<std::string, StatusFormat>& formats() {
        static const std::map<std::string, StatusFormat> words{
            {"text", StatusFormat::text},
            {"json", StatusFormat::json},
            {"brief", StatusFormat::brief},
            {"prometheus", StatusFormat::prometheus}};
        return words;
    }
    static const std::map<std::string, report::Goal>& goals() {
        static const std::map<std::string, report::Goal> words{
            {"ready", report::Goal::ready}, {"hydrated", report::Goal::hydrated}};
        return words;
    }

    void add_to(CLI::App& command) {
        command.add_option("--format", format, "text, json, brief or prometheus")
            ->type_name("FORM")
            ->check(CLI::IsMember(formats()).description(""));
        command.add_flag("--brief", is_brief,
                         "One short line; exit status 0, 1 or 2 as node-problem-detector expects");
        command.add_flag("--trace", is_trace,
                         "Print what record --boot has recorded, as text for Run Command, or as "
                         "JSON with --json");
        wait_option = command.add_option(
            "--wait", wait,
            "Wait until the node is ready (--for), for at most this many seconds (default: "
            "readiness.deadline, 10 minutes)");
        wait_option->type_name("[=SECONDS]")->expected(0, 1)->check(wait_problem, "");
        command
            .add_option("--for", goal,
                        "What --wait and the exit status are about: ready, or hydrated: what was "
                        "baked is read from a disk that loads lazily, or there is nothing to read. "
                        "Waiting ends at once if that cannot be (default: ready)")
            ->type_name("GOAL")
            ->check(CLI::IsMember(goals()).description(""));
    }

    /// `is_json`: of the option --json, which all commands have.
    StatusArguments arguments(const Config& config, bool is_json) const {
        StatusArguments arguments{.form = formats().at(format),
                                  .wait = {},
                                  .goal = goals().at(goal),
                                  .is_trace = is_trace};
        if (is_brief) arguments.form = StatusFormat::brief;
        if (is_json) arguments.form = StatusFormat::json;
        if (wait_option->count() > 0) {
            arguments.wait = config.deadline;
            if (!wait.empty()) arguments.wait = std::chrono::seconds(std::stoul(wait));
        }
        return arguments;
    }

  private:
    /// CLI11's own check also accepts "0x10" and "1e3".
    static std::string wait_problem(const std::string& text) {
        constexpr std::size_t kMaxDigits = 5;  // std::stoul() is safe
        constexpr auto kLongest =
            static_cast<unsigned long>(std::chrono::seconds(kLongestDeadline).count());
        const bool is_number =
            text.size() <= kMaxDigits && text.find_first_not_of("0123456789") == std::string::npos;
        const bool is_right = text.empty() || (is_number && std::stoul(text) <= kLongest);
        return is_right ? "" : "\"" + text + "\" is not 0 to 86400 seconds";
    }
};

}  // namespace prebake::cli
