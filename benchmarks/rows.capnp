@0xb5c1d3e9f7a28407;

struct Point { x @0 :Float32; y @1 :Float32; }

struct Flat {
  id @0 :UInt64;
  x @1 :Float64;
  flag @2 :Bool;
  n @3 :Int32;
  name @4 :Text;
  city @5 :Text;
}

struct Nested { id @0 :UInt64; values @1 :List(Int32); points @2 :List(Point); }

struct Root { flat @0 :List(Flat); nested @1 :List(Nested); }

struct Event { id @0 :UInt64; x @1 :Float64; name @2 :Text; }
