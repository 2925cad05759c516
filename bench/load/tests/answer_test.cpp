#include "../answer.h"

#include <string>

#include "check.h"

namespace {

using load::verdict;

constexpr std::string_view kHello =
    "HTTP/1.1 200 OK\r\nServer: a\r\ncontent-LENGTH: 12\r\nContent-Language: en\r\n\r\nHello World!";
const load::expectation kWanted{"Hello World!", 0};

// Reads an answer in two parts.
verdict read_cut(std::string_view answer, size_t cut, const load::expectation &wanted) {
  load::answer_state state = {};
  size_t used = 0;
  const verdict first = load::read_answer(answer.substr(0, cut), wanted, &state, &used);
  if (first != verdict::more) return first;
  CHECK(used == cut);
  const verdict second = load::read_answer(answer.substr(cut), wanted, &state, &used);
  if (second == verdict::whole) CHECK(cut + used == answer.size());
  return second;
}

// An answer has the same verdict however the network cuts it.
void check_all_cuts(std::string_view answer, const load::expectation &wanted, verdict expected) {
  for (size_t cut = 0; cut < answer.size(); ++cut) CHECK(read_cut(answer, cut, wanted) == expected);
}

// Answers in a row are told apart, also when they come byte by byte.
void check_row() {
  const std::string row = std::string(kHello) + std::string(kHello);
  load::answer_state state = {};
  size_t used = 0;
  CHECK(load::read_answer(row, kWanted, &state, &used) == verdict::whole);
  CHECK(used == kHello.size());
  int whole = 0;
  for (const char byte : row) {
    const verdict found = load::read_answer({&byte, 1}, kWanted, &state, &used);
    CHECK(used == 1);
    whole += found == verdict::whole;
    CHECK(found == verdict::whole || found == verdict::more);
  }
  CHECK(whole == 2);
}

}  // namespace

int main() {
  check_all_cuts(kHello, kWanted, verdict::whole);
  check_all_cuts("HTTP/1.1 200\r\nContent-Length:5\r\n\r\nabcde", {"", 5}, verdict::whole);
  check_all_cuts("HTTP/1.1 503 No\r\nContent-Length: 12\r\n\r\nHello World!", kWanted, verdict::status);
  check_all_cuts("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHello Worlds", kWanted, verdict::body);
  check_all_cuts("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nHello World", kWanted, verdict::body);
  check_all_cuts("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", {"", 5}, verdict::body);
  check_all_cuts("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", kWanted, verdict::malformed);
  check_all_cuts("HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Length: 12\r\n\r\n", kWanted, verdict::malformed);
  check_all_cuts("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", kWanted, verdict::malformed);
  check_all_cuts("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", kWanted, verdict::malformed);
  check_all_cuts("HTTP/1.0 200 OK\r\n", kWanted, verdict::malformed);
  check_all_cuts("HTTP/1.1 2x0 OK\r\n", kWanted, verdict::malformed);
  check_all_cuts("nonsense", kWanted, verdict::malformed);
  check_row();
}
