#include "compiler/driver/bench/own_traffic.h"

#include "gtest/gtest.h"

namespace weir::bench {
namespace {

OwnTraffic countOf(const std::string& body) {
  std::optional<OwnTraffic> traffic = ownTrafficOfText(
      "func.func @k(%a: memref<8192xf32>, %r: memref<8192xf32>, %b: memref<16xf32>, %s: "
      "memref<1099511627776xi8>, "
      "%n: index) {\n%c0 = arith.constant 0 : index\n%c1 = arith.constant 1 : index\n"
      "%c4 = arith.constant 4 : index\n%c10 = arith.constant 10 : index\n%c16 = arith.constant 16 "
      ": index\n%c100 = arith.constant 100 : index\n" +
      body + "\nreturn\n}");
  return traffic.value_or(OwnTraffic{-1, -1, -1});
}

TEST(OwnTraffic, LoopsMultiply) {
  OwnTraffic traffic = countOf(R"(
    scf.parallel (%i, %j) = (%c0, %c0) to (%c10, %c4) step (%c1, %c1) {
      scf.for %k = %c0 to %c100 step %c16 {
        %v = vector.load %a[%k] : memref<8192xf32>, vector<16xf32>
        vector.store %v, %r[%k] : memref<8192xf32>, vector<16xf32>
        %x = memref.load %a[%k] : memref<8192xf32>
      }
    })");
  EXPECT_EQ(traffic.loaded, 10 * 4 * 7 * (64 + 4));
  EXPECT_EQ(traffic.stored, 10 * 4 * 7 * 64);
  EXPECT_EQ(traffic.near, 0);
}

// What an iterator decides is counted iteration by iteration: here, 10 rows of which each is a
// triangle's.
TEST(OwnTraffic, BoundsMayDependOnOuterLoops) {
  OwnTraffic traffic = countOf(R"(
    scf.for %i = %c0 to %c10 step %c1 {
      %end = arith.addi %i, %c1 : index
      scf.for %j = %c0 to %end step %c1 {
        %x = memref.load %a[%j] : memref<8192xf32>
      }
      %isFirst = arith.cmpi eq, %i, %c0 : index
      scf.if %isFirst {
        %y = memref.load %a[%i] : memref<8192xf32>
        memref.store %y, %r[%i] : memref<8192xf32>
      }
    })");
  EXPECT_EQ(traffic.loaded, 55 * 4 + 4);
  EXPECT_EQ(traffic.stored, 4);
}

TEST(OwnTraffic, MasksCountTheirLanes) {
  OwnTraffic traffic = countOf(R"(
    %zero = arith.constant dense<0.0> : vector<16xf32>
    scf.for %i = %c0 to %c100 step %c16 {
      %left = arith.subi %c100, %i : index
      %lanes = arith.minsi %left, %c16 : index
      %m = vector.create_mask %lanes : vector<16xi1>
      %v = vector.maskedload %a[%i], %m, %zero : memref<8192xf32>, vector<16xi1>, vector<16xf32> into vector<16xf32>
      vector.maskedstore %r[%i], %m, %v : memref<8192xf32>, vector<16xi1>, vector<16xf32>
    })");
  EXPECT_EQ(traffic.loaded, 100 * 4);
  EXPECT_EQ(traffic.stored, 100 * 4);
}

TEST(OwnTraffic, WhatStaysNearIsApart) {
  OwnTraffic traffic = countOf(R"(
    %view = memref.view %s[%c0][] : memref<1099511627776xi8> to memref<64xf32>
    scf.for %i = %c0 to %c10 step %c1 {
      %x = memref.load %view[%i] : memref<64xf32>
      memref.store %x, %view[%c1] : memref<64xf32>
      memref.store %x, %r[%i] : memref<8192xf32>
      %bias = vector.load %b[%c0] : memref<16xf32>, vector<16xf32>
    })");
  EXPECT_EQ(traffic.loaded, 64);
  EXPECT_EQ(traffic.stored, 40);
  EXPECT_EQ(traffic.near, 80 + 9 * 64);
}

TEST(OwnTraffic, WhatShapesDoNotDecideIsUnknown) {
  EXPECT_EQ(countOf("scf.for %i = %c0 to %n step %c1 {\n}").loaded, -1);
  EXPECT_EQ(countOf("%x = memref.load %a[%c0] : memref<8192xf32>\n"
                    "%isZero = arith.cmpf oeq, %x, %x : f32\nscf.if %isZero {\n}")
                .loaded,
            -1);
}

}  // namespace
}  // namespace weir::bench
