#include "runtime/program/tensor.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace weir::runtime {
namespace {

TEST(HostTensor, NumbersOfAllTypes) {
  for (int i = 0; i < kNumElementTypes; ++i) {
    HostTensor tensor({"x", static_cast<ElementType>(i), {2}});
    tensor.SetNumber(1, 1);
    EXPECT_EQ(tensor.Number(0), 0) << i;
    EXPECT_EQ(tensor.Number(1), 1) << i;
  }
  HostTensor rounded({"x", ElementType::kBF16, {4}});
  rounded.SetNumber(0, 1 + 1.0 / 256);  // half way: to the even neighbour
  rounded.SetNumber(1, 1 + 3.0 / 256);
  rounded.SetNumber(2, std::numeric_limits<double>::quiet_NaN());
  rounded.SetNumber(3, -3.14159);
  EXPECT_EQ(rounded.Number(0), 1);
  EXPECT_EQ(rounded.Number(1), 1 + 4.0 / 256);
  EXPECT_TRUE(std::isnan(rounded.Number(2)));
  EXPECT_EQ(rounded.Number(3), -3.140625);
}

}  // namespace
}  // namespace weir::runtime
