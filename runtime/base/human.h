// Figures for people.
#ifndef WEIR_RUNTIME_BASE_HUMAN_H_
#define WEIR_RUNTIME_BASE_HUMAN_H_

#include <string>

namespace weir::runtime {

// "1.23 GiB", "12.3k", "1h02m".
std::string HumanBytes(double bytes);
std::string HumanCount(double count);
std::string HumanDuration(double seconds);

// The most memory that the process has had; 0 where the system doesn't say.
double PeakMemoryBytes();

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_BASE_HUMAN_H_
