// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <initializer_list>
#include <string>

#include "engine/files.h"
#include "kernels/core/error.h"

namespace drnas::test_files {

/// A directory of its own, removed at the end of the test.
struct TemporaryFolder {
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "drnas_test_XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  TemporaryFolder(const TemporaryFolder&) = delete;

  std::filesystem::path path;
};

/// `action` must throw Error with a single line that holds every one of `parts`.
inline void check_fails(const auto& action, std::initializer_list<std::string> parts) {
  std::string message;
  try {
    action();
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK_MESSAGE(!message.empty(), "no error was thrown");
  CHECK(message.find('\n') == std::string::npos);
  for (const std::string& part : parts) {
    CHECK_MESSAGE(message.find(part) != std::string::npos, message, " lacks ", part);
  }
}

}  // namespace drnas::test_files
