// Functions by polynomials whose coefficients are looked up in registers.

#include "compiler/conversion/cpu/math_expansion.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {

using namespace mlir;

namespace {

/// An odd function: polynomials of degree 5 on intervals around the multiples of `spacing`, highest
/// coefficients first. From `last` on it is what it is there.
struct OddTable {
  double spacing, last;
  uint32_t coefficients[6][16];
};

/// Element `index` mod 16 of 16 floats, for each lane.
Value lookUp(KernelBuilder& b, ArrayRef<uint32_t> table, Value index) {
  auto type = VectorType::get({16}, b.getF32Type());
  SmallVector<APFloat> values;
  for (uint32_t bits : table) values.emplace_back(APFloat::IEEEsingle(), APInt(32, bits));
  Value entries = arith::ConstantOp::create(b, DenseElementsAttr::get(type, values));
  return LLVM::CallIntrinsicOp::create(b, type, b.getStringAttr("llvm.x86.avx512.permvar.sf.512"),
                                       ValueRange{entries, index})
      .getResults();
}

Value oddByTable(KernelBuilder& b, const OddTable& table, Value x) {
  auto type = cast<VectorType>(x.getType());
  Value last = b.floatConstant(type, table.last);
  Value a = math::AbsFOp::create(b, x);
  Value beyond = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, a, last);  // nan is not
  a = arith::SelectOp::create(b, beyond, last, a);
  auto [n, t] = nearestMultiple(b, a, 1 / table.spacing);
  Value index = arith::BitcastOp::create(b, type.clone(b.getI32Type()), t);
  Value r = math::FmaOp::create(b, n, b.floatConstant(type, -table.spacing), a);
  Value p = lookUp(b, table.coefficients[0], index);
  for (ArrayRef<uint32_t> next : ArrayRef(table.coefficients).drop_front())
    p = math::FmaOp::create(b, p, r, lookUp(b, next, index));
  return math::CopySignOp::create(b, p, x);
}

}  // namespace

bool hasTables(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  return vector && vector.getNumElements() == 16 && vector.getElementType().isF32();
}

Value erfByTable(KernelBuilder& b, Value x) {
  static const OddTable kErf = {
      17.0 / 64,
      4.0625,
      {
          {0x3DE5A42A, 0x3D9DD142, 0xBA80AF72, 0xBD722A20, 0xBD86EB5B, 0xBD172C8B, 0xBBA9F1A7,
           0x3C321C2D, 0x3C4BA563, 0x3C044420, 0x3B7B4EAA, 0x3ABBD4F4, 0x39E43CA3, 0x38E5843E,
           0x37C1257C, 0x36890A59},
          {0x00000000, 0x3E0725EF, 0x3E3A975D, 0x3E0C206E, 0x3D4595C1, 0xBCB44266, 0xBD47AF7E,
           0xBD303168, 0xBCD8560B, 0xBC4E0052, 0xBB9EB17B, 0xBACA1686, 0xB9D768A2, 0xB8C1C2CC,
           0xB793E84A, 0xB6406942},
          {0xBEC09306, 0xBE9A2591, 0xBDFD0A9F, 0x3D5C681A, 0x3E1CA940, 0x3E26D97C, 0x3DF7DD95,
           0x3D8F96D5, 0x3D0752F3, 0x3C53D787, 0x3B8B5EAD, 0x3A9B4F1C, 0x399354CE, 0x386ED345,
           0x3725D4AD, 0x35C5B2AB},
          {0x00000000, 0xBE8F005E, 0xBEE771BB, 0xBEF3F77F, 0xBEC68214, 0xBE837EE6, 0xBE113B15,
           0xBD876B70, 0xBCD6D393, 0xBC11A7FD, 0xBB2965B0, 0xBA295CAB, 0xB911D1A9, 0xB7D885CF,
           0xB68AC2D2, 0xB519A4E9},
          {0x3F906EBA, 0x3F8697D4, 0x3F59D580, 0x3F191410, 0x3EBAD48E, 0x3E460399, 0x3DB63F31,
           0x3D11A8E0, 0x3C4A3125, 0x3B73BA25, 0x3A7F20F3, 0x3967EA75, 0x383711F1, 0x36FAFC92,
           0x35956823, 0x341A77B1},
          {0x00000000, 0x3E95ECED, 0x3F0C2AD3, 0x3F3D802C, 0x3F5DF788, 0x3F708D1F, 0x3F79CDE1,
           0x3F7DCFB0, 0x3F7F5211, 0x3F7FD0A5, 0x3F7FF4B5, 0x3F7FFDA5, 0x3F7FFF92, 0x3F7FFFEF,
           0x3F7FFFFE, 0x3F800000},
      }};
  return oddByTable(b, kErf, x);
}

Value geluGradientByTable(KernelBuilder& b, Value x) {
  // Least squares at Chebyshev points; the gradient less 1/2 is odd.
  static const OddTable kGradient = {
      13.0 / 32,
      6.09375,
      {
          {0x3D7251A6, 0x3CF90493, 0xBCAC9F9B, 0xBD24E550, 0xBCAABC83, 0x3B7F85BE, 0x3C416AE5,
           0x3BEB0D02, 0x3AC3DBD1, 0xBA4CCA26, 0xBA5965DF, 0xB9D0BD7B, 0xB9084718, 0xB8055977,
           0xB6CBCC51, 0xBBB47742},
          {0x00000000, 0x3DCBCCB6, 0x3DDC0162, 0x3D192477, 0xBCEADA1A, 0xBD3449E7, 0xBCCD3FE6,
           0xBB9C8805, 0x3B6A2DB9, 0x3B760F82, 0x3AFC8110, 0x3A3373C7, 0x394109E4, 0x382342D3,
           0x36DDA1B6, 0xBB498358},
          {0xBE882A45, 0xBE340C24, 0x3C10F800, 0x3E07C6EB, 0x3E0893AA, 0x3D87FC47, 0x3BFFD486,
           0xBC745651, 0xBC66AA48, 0xBBF2E304, 0xBB36C46A, 0xBA534816, 0xB941CB06, 0xB80F924D,
           0xB6ADBBB1, 0xBA23F0E6},
          {0x00000000, 0xBE927FE2, 0xBEC737FD, 0xBE94F007, 0xBDF10326, 0x3BD45072, 0x3D4637C9,
           0x3D2688CB, 0x3CB1454A, 0x3C0C0180, 0x3B2D23B1, 0x3A2BF669, 0x390B28DA, 0x37B92DE5,
           0x364BD7CC, 0xB86766AB},
          {0x3F4C4228, 0x3F2C8F40, 0x3EC4BC55, 0x3DC81555, 0xBD8BC738, 0xBDDCB9F1, 0xBDA51811,
           0xBD2E6D8F, 0xBC8E5355, 0xBBB9DCA1, 0xBAC5C13E, 0xB9AD3DB4, 0xB87B9869, 0xB71820AD,
           0xB599B0DF, 0xB60F449D},
          {0x00000000, 0x3E9D290B, 0x3F0656C9, 0x3F1EB104, 0x3F1EFCB4, 0x3F14F4BF, 0x3F0ADE94,
           0x3F0485C2, 0x3F018A5B, 0x3F006F2B, 0x3F001A1B, 0x3F000521, 0x3F0000D8, 0x3F00001E,
           0x3F000003, 0x3F000000},
      }};
  Value half = b.floatConstant(x.getType(), 0.5);
  return arith::AddFOp::create(b, oddByTable(b, kGradient, x), half);
}

}  // namespace weir
