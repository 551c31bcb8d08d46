@0xd2b7c1f0a9e84b37;
# What the rows of the tests' datasets are.

struct Table {
  rows @0 :List(Row);
  numbers @1 :List(Float64);
  deeper @2 :Deeper;
  log @3 :List(Row);
}

struct Deeper {
  rows @0 :List(Row);
}

struct Row {
  id @0 :UInt32;
  price @1 :Float64 = 1.5;
  name @2 :Text;
  kind @3 :Kind;
  tags @4 :List(Text);
  weight :union {
    none @5 :Void;
    value @6 :Float32;
  }
  blob @7 :Data;
  ok @8 :Bool;
  place @9 :Place;
}

struct Place {
  x @0 :Int32;
  y @1 :Int32;
}

enum Kind {
  plain @0;
  rare @1;
}

struct Pair(Key, Value) {
  key @0 :Key;
  value @1 :Value;
}

struct Generic {
  pairs @0 :List(Pair(Text, Place));
}
