// SPDX-License-Identifier: MIT
#include "kernels/core/error.h"

#include <doctest/doctest.h>

using drnas::Error;

TEST_CASE("error: a message is one line, whatever the names in it hold") {
  CHECK(Error("a plain message").what() == std::string("a plain message"));
  const std::string name("x\ny\r\tz\0end\x7f", 11);
  CHECK(Error("file " + name + ": expected").what() == std::string("file x y  z end : expected"));
  CHECK(Error("\xc3\xa9").what() == std::string("\xc3\xa9"));
}
