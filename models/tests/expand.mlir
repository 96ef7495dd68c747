// Every model of this folder expands: it knows its layers, their options and their sizes.
// RUN: weir-opt %{root}/models/selective_copy_mingru.mlir --weir-expand | FileCheck %s --check-prefix=COPY
// RUN: weir-opt %{root}/models/selective_copy_mingru_paper.mlir --weir-expand | FileCheck %s --check-prefixes=COPY,PAPER
// RUN: weir-opt %{root}/models/selective_copy_gru.mlir --weir-expand | FileCheck %s --check-prefix=GRU
// RUN: weir-opt %{root}/models/selective_copy_transformer_pp.mlir --weir-expand | FileCheck %s --check-prefix=COPYTF
// RUN: weir-opt %{root}/models/shakespeare_mingru.mlir --weir-expand | FileCheck %s --check-prefix=TEXT
// RUN: weir-opt %{root}/models/shakespeare_flash.mlir --weir-expand | FileCheck %s --check-prefix=FLASH
// RUN: weir-opt %{root}/models/shakespeare_gau.mlir --weir-expand | FileCheck %s --check-prefix=GAU
// RUN: weir-opt %{root}/models/shakespeare_transformer_pp.mlir --weir-expand | FileCheck %s --check-prefix=TEXTTF
// RUN: weir-opt %{root}/models/lm12_flash.mlir --weir-expand | FileCheck %s --check-prefix=LM
// RUN: weir-opt %{root}/models/lm_mingru.mlir --weir-expand='set=layers=3 set=width=256' | FileCheck %s --check-prefix=MINGRU
// RUN: weir-opt %{root}/models/lm_gru.mlir --weir-expand | FileCheck %s --check-prefix=LMGRU
// RUN: weir-opt %{root}/models/lm_flash.mlir --weir-expand | FileCheck %s --check-prefix=LMFLASH
// RUN: weir-opt %{root}/models/lm_gau.mlir --weir-expand='set=length=2048 set=batch=2' | FileCheck %s --check-prefix=LMGAU
// RUN: weir-opt %{root}/models/lm_gla.mlir --weir-expand='set=heads=4' | FileCheck %s --check-prefix=LMGLA
// RUN: weir-opt %{root}/models/lm_transformer_pp.mlir --weir-expand='set=heads=4' | FileCheck %s --check-prefix=LMTF

// COPY: func.func @selective_copy(%{{[^:]*}}: tensor<?x?xi32> {weir.input = "tokens"}
// COPY-SAME: tensor<16x64xf32> {weir.init = "normal(1.0)", weir.param = "tok.weight"}
// COPY-SAME: tensor<384x64xf32> {weir.init = "uniform(0.125)", weir.param = "layer.0.rnn.to_z.weight"}
// COPY-SAME: tensor<64x384xf32> {{{.*}}weir.param = "layer.2.to_out.weight"}
// COPY-SAME: tensor<16x64xf32> {{{.*}}weir.param = "head.weight"}
// PAPER-SAME: tensor<2xi64> {weir.rng}
// COPY-SAME: -> (tensor<?x?x16xf32> {weir.output = "0"}
// COPY-SAME: attributes {weir.linear}

// GRU: tensor<192x64xf32> {weir.init = "uniform(0.125)", weir.param = "layer.2.rnn.hidden.weight"}
// GRU: weir.recurrence

// COPYTF: weir.param = "pos.weight"
// COPYTF-SAME: weir.param = "layer.2.glu.down.bias"

// TEXT: tensor<65x384xf32> {weir.init = "normal(0.02)", weir.param = "tok.weight"}
// TEXT-SAME: tensor<768x384xf32> {{{.*}}weir.param = "layer.2.rnn.to_h.weight"}
// TEXT-SAME: tensor<1152x384xf32> {{{.*}}weir.param = "layer.2.mlp.up.weight"}

// FLASH: tensor<1664x384xf32> {weir.init = "normal(0.02)", weir.param = "layer.5.in.weight"}
// FLASH-SAME: tensor<127xf32> {weir.init = "normal(0.02)", weir.param = "layer.5.rel.weight"}
// FLASH-NOT: head.weight

// GAU: tensor<511xf32> {weir.init = "normal(0.02)", weir.param = "layer.5.rel.weight"}

// TEXTTF: weir.param = "layer.2.attention.out.bias"

// LM: tensor<256x768xf32> {weir.init = "normal(0.02)", weir.param = "tok.weight"}
// LM-SAME: tensor<3200x768xf32> {weir.init = "normal(0.02)", weir.param = "layer.11.in.weight"}

// MINGRU: weir.param = "layer.2.mlp.down.bias"
// MINGRU-NOT: layer.3
// MINGRU: tensor<256xf32>

// LMGRU: tensor<1536x512xf32> {{{.*}}weir.param = "layer.3.rnn.hidden.weight"}
// LMGRU-SAME: tensor<2048x512xf32> {{{.*}}weir.param = "layer.3.mlp.up.weight"}

// LMFLASH: tensor<2176x512xf32> {weir.init = "normal(0.02)", weir.param = "layer.3.in.weight"}
// LMFLASH-SAME: tensor<511xf32> {weir.init = "normal(0.02)", weir.param = "layer.3.rel.weight"}

// The option `length` is that of the layer and of the task.
// LMGAU: tensor<4095xf32> {weir.init = "normal(0.02)", weir.param = "layer.3.rel.weight"}

// LMGLA: tensor<128xf32> {weir.init = "ones", weir.param = "layer.3.gla.norm.weight"}
// LMGLA: weir.split_heads {{.*}} num_heads 4

// LMTF: weir.param = "layer.3.glu.down.bias"
// LMTF: weir.attention {{.*}} num_heads 4
