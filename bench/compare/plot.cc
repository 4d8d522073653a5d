#include <algorithm>
#include <cmath>
#include <cstdio>

#include "compare/result.h"

namespace weft::bench {
namespace {

constexpr double kLeft = 170, kWidth = 560, kRight = 150, kBar = 16, kGroupGap = 14, kTop = 64;
constexpr const char* kColours[] = {"#2a6fbb", "#d98032", "#4c9a5b",
                                    "#a45bb0", "#777777", "#b8a13a"};

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string Short(double value) {
  char text[32];
  if (value >= 1e6)
    std::snprintf(text, sizeof text, "%.2f M", value / 1e6);
  else if (value >= 1e3)
    std::snprintf(text, sizeof text, "%.0f k", value / 1e3);
  else
    std::snprintf(text, sizeof text, "%.0f", value);
  return text;
}

std::string Escaped(const std::string& text) {
  std::string out;
  for (char c : text)
    out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string{c};
  return out;
}

std::string Text(double x, double y, const std::string& text, const char* anchor = "start") {
  return "<text x=\"" + Number(x) + "\" y=\"" + Number(y) + "\" text-anchor=\"" + anchor + "\">" +
         Escaped(text) + "</text>\n";
}

std::string Line(double x1, double y1, double x2, double y2, const char* colour) {
  return "<line x1=\"" + Number(x1) + "\" y1=\"" + Number(y1) + "\" x2=\"" + Number(x2) +
         "\" y2=\"" + Number(y2) + "\" stroke=\"" + colour + "\"/>\n";
}

std::string Box(double x, double y, double width, double height, const char* colour) {
  return "<rect x=\"" + Number(x) + "\" y=\"" + Number(y) + "\" width=\"" + Number(width) +
         "\" height=\"" + Number(height) + "\" fill=\"" + colour + "\"/>\n";
}

// The next of 1, 2, 5, 10, … above a quarter of `most`: four ticks or more.
double TickStep(double most) {
  double step = std::pow(10, std::floor(std::log10(std::max(most, 1.0))));
  while (most / step < 4) step /= 2;
  return step;
}

std::string Bar(const Row& row, double y, double scale) {
  const char* colour = kColours[row.receiver % std::size(kColours)];
  const Spread& s = row.spans_per_cpu_second;
  const double middle = y + kBar / 2 - 1;
  std::string out = Box(kLeft, y, s.median * scale, kBar - 2, colour);
  out += Line(kLeft + s.least * scale, middle, kLeft + s.most * scale, middle, "#222");
  std::string label = row.runs > 0 && s.median == 0 ? "no result" : Short(s.median);
  if (row.valid < row.runs && s.median > 0)
    label += " (" + std::to_string(row.valid) + "/" + std::to_string(row.runs) + " valid)";
  return out + Text(kLeft + s.most * scale + 6, y + kBar - 4, label);
}

}  // namespace

std::string PlotSvg(const Comparison& comparison, const std::vector<Row>& rows) {
  double most = 1;
  for (const Row& row : rows) most = std::max(most, row.spans_per_cpu_second.most);
  const double scale = kWidth / most;
  std::string bars;
  double y = kTop;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i == 0 || rows[i].load != rows[i - 1].load) {
      if (i > 0) y += kGroupGap;
      bars += Text(kLeft - 8, y + kBar - 4, comparison.loads[rows[i].load].name, "end");
    }
    bars += Bar(rows[i], y, scale);
    y += kBar;
  }
  const double width = kLeft + kWidth + kRight, height = y + 30;
  std::string out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + Number(width) + "\" height=\"" +
      Number(height) + "\" font-family=\"sans-serif\" font-size=\"12\">\n" +
      Box(0, 0, width, height, "#ffffff") +
      Text(12, 20, "spans per CPU-second of the receiver; line: lowest to highest run");
  double x = 12;
  for (size_t i = 0; i < comparison.receivers.size(); ++i) {
    out += Box(x, 32, 12, 12, kColours[i % std::size(kColours)]);
    out += Text(x + 17, 43, comparison.receivers[i].name);
    x += 40 + 7.5 * static_cast<double>(comparison.receivers[i].name.size());
  }
  for (double tick = 0; tick <= most; tick += TickStep(most)) {
    out += Line(kLeft + tick * scale, kTop - 4, kLeft + tick * scale, y + 4, "#ddd");
    out += Text(kLeft + tick * scale, y + 18, Short(tick), "middle");
  }
  return out + bars + "</svg>\n";
}

}  // namespace weft::bench
