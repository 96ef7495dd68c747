func.func private @sideways() attributes {weir.direction = #weir.direction<sideways>}
