// The Transformer block with rotary positions: the baseline "Transformer+" of "Transformer Quality in Linear Time"
// (arXiv:2202.10447, section 4 and appendix B.2)
//
//   x = x + attention(norm1(x))
//   x = x + mlp(norm2(x))
//
// with softmax attention on rotary queries and keys, LayerNorm and an MLP with GELU. The model adds ScaledSin positions.

!seq = tensor<?x?x?xf32>

weir.layer @transformer_plus(%x: !seq) -> !seq attributes {paper = "arXiv:2202.10447, 4"} {
  %d = weir.dim %x, feature : !seq
  %heads = weir.config "heads" default 1 : index
  %hidden = weir.config "hidden" default [4 * %d] : index
  %dropout = weir.config "dropout" default 0.0 : f64
  %causal = weir.config "causal" default true
  %n1 = weir.layer_norm %x, "norm1" eps(1.0e-5) : !seq
  %a = weir.apply "attention"(%n1) {rotary = true, heads = %heads, causal = %causal : i1, dropout = %dropout : f64} as "attention" : !seq
  %x1 = arith.addf %x, %a : !seq
  %n2 = weir.layer_norm %x1, "norm2" eps(1.0e-5) : !seq
  %f = weir.apply "mlp"(%n2) {activation = "gelu", hidden = %hidden} as "mlp" : !seq
  %fd = weir.dropout %f rate(%dropout) : !seq
  %y = arith.addf %x1, %fd : !seq
  weir.return %y : !seq
}
