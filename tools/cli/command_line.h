// SPDX-License-Identifier: MIT
// The command line of a program whose options stand in a table.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "engine/version.h"
#include "nas/options/option_info.h"

namespace drnas::tools {

/// Throws Error for an argument that is no option, with the nearest of the known names.
[[noreturn]] void fail_unknown(const std::string& argument,
                               const std::vector<std::string_view>& known);
/// The first of `base`, base-2, base-3, ... that does not exist.
std::filesystem::path free_path(const std::filesystem::path& base);
/// The text of --version.
std::string version_text(const std::string& program);

/// A program's name, what it does in a line, and the end of --help.
struct ProgramText {
  std::string name, description, examples;
};

/// CLI11 collects names and values; the option table gives them meaning.
template <class Options>
class OptionParser {
 public:
  /// `defaults` are shown in --help.
  OptionParser(const ProgramText& text, const Options& defaults)
      : program_(text.name), app_(text.description, text.name) {
    app_.footer(text.examples);
    app_.allow_extras();
    app_.get_formatter()->column_width(36);
    app_.set_help_flag("-h,--help", "print this text")->group("Run");
    app_.add_flag("--version", version_, "print versions of program and libraries")->group("Run");
    app_.add_option("--config", config_,
                    "read options from a TOML file (keys are option names without --)")
        ->type_name("FILE")
        ->group("Run");
    for (const OptionOf<Options>& info : options_of<Options>()) add(info, defaults);
  }

  /// False when --help or --version was asked for and printed. Throws Error naming the option that
  /// is unknown or lacks a value.
  bool parse(std::vector<std::string> arguments, std::ostream& output) {
    const std::vector<std::string> given = arguments;
    std::reverse(arguments.begin(), arguments.end());  // the order that CLI11 wants
    try {
      app_.parse(std::move(arguments));
    } catch (const CLI::CallForHelp&) {
      output << app_.help();
      return false;
    } catch (const std::logic_error&) {  // CLI11 cannot read the value of a switch
      throw Error(bad_switch(given) + ": expected true or false (--help explains the options)");
    } catch (const CLI::ParseError& error) {
      std::string line = error.what();
      std::replace(line.begin(), line.end(), '\n', ' ');
      throw Error(line + " (--help explains the options)");
    }
    if (version_) output << version_text(program_);
    if (version_) return false;
    if (const auto unknown = app_.remaining(); !unknown.empty()) {
      std::vector<std::string_view> known;
      for (const OptionOf<Options>& info : options_of<Options>()) known.push_back(info.name);
      fail_unknown(unknown.front(), known);
    }
    return true;
  }

  /// The options of the file that --config names.
  std::vector<GivenOption> config() const {
    if (config_.empty()) return {};
    return read_config(config_, config_keys<Options>());
  }
  /// The options of the command line.
  const std::vector<GivenOption>& given() const { return given_; }

 private:
  /// The argument --SWITCH=VALUE whose value is neither true nor false.
  static std::string bad_switch(const std::vector<std::string>& arguments) {
    for (const std::string& argument : arguments)
      for (const OptionOf<Options>& info : options_of<Options>())
        if (std::holds_alternative<bool Options::*>(info.member) &&
            argument.starts_with("--" + std::string(info.name) + "=") &&
            !argument.ends_with("=true") && !argument.ends_with("=false"))
          return argument;
    return "a switch";
  }

  void add(const OptionOf<Options>& info, const Options& defaults) {
    const std::string name = "--" + std::string(info.name), help(info.help);
    const auto keep = [this, name, key = std::string(info.name)](const std::string& value) {
      given_.push_back({key, value, name});
    };
    CLI::Option* option = nullptr;
    if (std::holds_alternative<bool Options::*>(info.member)) {
      option = app_.add_flag_function(
          name, [keep](std::int64_t count) { keep(count > 0 ? "true" : "false"); }, help);
    } else {
      option = app_.template add_option_function<std::string>(name, keep, help)
                   ->type_name(std::string(info.value))
                   ->default_str(option_text(defaults, info))
                   ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
    option->group(std::string(info.group));
  }

  std::string program_;
  CLI::App app_;
  bool version_ = false;
  std::string config_;
  std::vector<GivenOption> given_;
};

}  // namespace drnas::tools
