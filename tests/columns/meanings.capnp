@0x9b3f5e0c7a12d486;
# Numbers and Data that mean something: what the tests of annotations use.

using Arrow = import "/mmapbuilder/arrow.capnp";

struct Row {
  ns @0 :Int64 $Arrow.timestamp(unit = "ns", timezone = "UTC");
  ms @1 :Int64 $Arrow.timestamp(unit = "ms");
  day @2 :Int32 $Arrow.date32;
  date @3 :Int64 $Arrow.date64;
  seconds @4 :Int32 $Arrow.time(unit = "s");
  time @5 :Int64 $Arrow.time(unit = "ns");
  span @6 :Int64 $Arrow.duration(unit = "us");
  price @7 :Int64 $Arrow.decimal(scale = 2);
  small @8 :UInt8 $Arrow.decimal(precision = 2, scale = 1);
  large @9 :Data $Arrow.decimal(scale = 4);
  huge @10 :Data $Arrow.decimal(precision = 60);
  stamps @11 :List(Int64) $Arrow.timestamp(unit = "us", timezone = "Europe/Vienna");
  prices @12 :List(List(Int32)) $Arrow.decimal(scale = 3);
  maybe :union {
    value @13 :Int64 $Arrow.timestamp(unit = "s");
    none @14 :Void;
  }
  since @15 :Int32 = 365 $Arrow.date32;
  userId @16 :Int32 $Arrow.name("user_id");
  homeTown :group $Arrow.name("home_town") {
    zipCode @17 :Int32 $Arrow.name("zip_code");
    name @18 :Text;
  }
  plain @19 :Int64;
}

struct Root {
  rows @0 :List(Row);
  days @1 :List(Int32) $Arrow.date32;
}

struct WrongKind {
  rows @0 :List(Inner);
  struct Inner {
    text @0 :Text $Arrow.date32;
  }
}

struct WrongUnit {
  rows @0 :List(Int64) $Arrow.duration(unit = "weeks");
}

struct TwoMeanings {
  value @0 :Int64 $Arrow.duration(unit = "s") $Arrow.decimal(scale = 2);
}

struct WrongScale {
  value @0 :Int32 $Arrow.decimal(precision = 3, scale = 4);
}
