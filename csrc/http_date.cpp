//go:build !kourier_cmake

#include "http_date.h"

#include <algorithm>
#include <cstring>

namespace kourier::http {

namespace {

constexpr int64_t kSecondsPerDay = 86400;
constexpr int64_t kSecondsMax = 253402300799;  // 9999-12-31T23:59:59Z

void put_two_digits(char *out, int64_t value) {
  out[0] = static_cast<char>('0' + value / 10);
  out[1] = static_cast<char>('0' + value % 10);
}

}  // namespace

void date_line::update(int64_t unix_seconds) {
  unix_seconds = std::clamp<int64_t>(unix_seconds, 0, kSecondsMax);
  if (unix_seconds == seconds_) return;
  seconds_ = unix_seconds;

  const int64_t days = unix_seconds / kSecondsPerDay;
  const int64_t second_of_day = unix_seconds % kSecondsPerDay;

  // Days are counted from 0000-03-01, so that leap days end a year: within an
  // era of 400 years the calendar is a plain function of the day.
  const int64_t shifted = days + 719468;
  const int64_t era = shifted / 146097;
  const int64_t day_of_era = shifted % 146097;
  const int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_from_march = (5 * day_of_year + 2) / 153;
  const int64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
  const int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  const int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);

  static constexpr char kDays[] = "ThuFriSatSunMonTueWed";  // 1970-01-01 was a Thursday
  static constexpr char kMonths[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  std::memcpy(text, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", kSize);
  std::memcpy(text + 6, kDays + 3 * (days % 7), 3);
  put_two_digits(text + 11, day);
  std::memcpy(text + 14, kMonths + 3 * (month - 1), 3);
  put_two_digits(text + 18, year / 100);
  put_two_digits(text + 20, year % 100);
  put_two_digits(text + 23, second_of_day / 3600);
  put_two_digits(text + 26, second_of_day / 60 % 60);
  put_two_digits(text + 29, second_of_day % 60);
}

}  // namespace kourier::http
