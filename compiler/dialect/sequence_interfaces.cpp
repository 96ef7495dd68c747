#include "compiler/dialect/sequence_interfaces.h"

#include "compiler/dialect/sequence_interfaces.cpp.inc"
