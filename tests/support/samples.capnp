@0xd8a7c4f1b65e2093;
# Messages for the tests: one with every type, and one that is easily made large.

struct Kinds {
  void @0 :Void;
  bool @1 :Bool;
  int8 @2 :Int8;
  int16 @3 :Int16;
  int32 @4 :Int32;
  int64 @5 :Int64;
  uInt8 @6 :UInt8;
  uInt16 @7 :UInt16;
  uInt32 @8 :UInt32;
  uInt64 @9 :UInt64;
  float32 @10 :Float32;
  float64 @11 :Float64;
  text @12 :Text;
  data @13 :Data;
  colour @14 :Colour;
  inner @15 :Kinds;

  bools @16 :List(Bool);
  int16s @17 :List(Int16);
  float64s @18 :List(Float64);
  texts @19 :List(Text);
  inners @20 :List(Kinds);
  lists @21 :List(List(UInt32));

  group :group {
    left @22 :UInt32;
    right @23 :Text;
  }

  choice :union {
    none @24 :Void;
    number @25 :UInt64;
    name @26 :Text;
  }

  withDefault @27 :UInt32 = 12345;
  any @28 :AnyPointer;

  enum Colour {
    red @0;
    green @1;
    blue @2;
  }
}

struct Blocks {
  label @0 :Text;
  blocks @1 :List(Block);
  last @2 :Block;

  struct Block {
    index @0 :UInt32;
    values @1 :List(UInt64);
    note @2 :Text;
  }
}
