@0xf8b7a6958473625e;
# old.capnp, later: lists of numbers and of Text have become lists of structs.

struct Number {
  value @0 :Int32;
  weight @1 :Float64;
}

struct Row {
  id @0 :Int64;
  score @1 :Float64;
  name @2 :Text;
  flag @3 :Bool;
}

struct Name {
  text @0 :Text;
  rank @1 :UInt16;
}

struct Root {
  numbers @0 :List(Number);
  rows @1 :List(Row);
  names @2 :List(Name);
  extra @3 :List(Float64);
}
