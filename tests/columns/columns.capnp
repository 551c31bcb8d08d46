@0xd1f3a9b7c5e20418;
# What the tests of rows and nested columns use.

struct Map(Key, Value) {
  entries @0 :List(Entry);
  struct Entry {
    key @0 :Key;
    value @1 :Value;
  }
}

# A generic type that contains itself with a larger type each time.
struct Tower(T) {
  value @0 :T;
  next @1 :Tower(Box(T));
}

struct Box(T) {
  value @0 :T;
}

enum Color {
  red @0;
  green @1;
  blue @2;
}

struct Point {
  x @0 :Float32;
  y @1 :Float32 = 1.5;
}

struct Item {
  id @0 :UInt32 = 7;
  name @1 :Text;
  note @2 :Text = "none";
  blob @3 :Data = 0x"01 02";
  color @4 :Color = green;
  flag @5 :Bool = true;
  position :group {
    height @6 :Int8 = -3;
    place @7 :Point;
  }
  union {
    nothing @8 :Void;
    weight @9 :Float64;
    label @10 :Text;
    points @11 :List(Point);
    child @12 :Item;
    both :group {
      left @13 :Int16;
      right @14 :Text;
    }
  }
  score :union {
    value @15 :Int32;
    none @16 :Void;
  }
}

struct Numbers {
  bools @0 :List(Bool);
  i8 @1 :List(Int8);
  u16 @2 :List(UInt16);
  i32 @3 :List(Int32);
  u64 @4 :List(UInt64);
  f32 @5 :List(Float32);
  f64 @6 :List(Float64);
  colors @7 :List(Color);
  voids @8 :List(Void);
  texts @9 :List(Text);
  blobs @10 :List(Data);
  matrix @11 :List(List(Int32));
  cube @12 :List(List(List(UInt8)));
  words @13 :List(List(Text));
  boxes @14 :List(List(Point));
}

struct Root {
  items @0 :List(Item);
  numbers @1 :Numbers;
  names @2 :Map(Text, Data);
  byItem @3 :Map(Text, Item);
  plain @4 :Box;
  tower @5 :Tower(Text);
  any @6 :AnyPointer;
  service @7 :Service;
  points @8 :List(Point);
  rows @9 :List(Numbers);
  maps @10 :List(Map(Text, Data));
}

interface Service {}

# Messages of older and newer programs.
struct OldRow {
  id @0 :UInt16;
}

struct Old {
  rows @0 :List(OldRow);
}

struct NewRow {
  id @0 :UInt16;
  size @1 :Int64 = 5;
  name @2 :Text = "new";
}

struct New {
  rows @0 :List(NewRow);
}

struct Rows64 {
  rows @0 :List(UInt64);
}

struct Voids {
  rows @0 :List(Void);
}

struct Chain {
  value @0 :Int32;
  next @1 :Chain;
}

# A list of numbers, and what a newer schema makes of it.
struct Plain {
  rows @0 :List(Row);
  struct Row {
    numbers @0 :List(Int32);
  }
}

struct Upgraded {
  rows @0 :List(Row);
  struct Row {
    numbers @0 :List(Number);
  }
  struct Number {
    value @0 :Int32;
  }
}

# Defaults that lead to other objects.
struct Defaults {
  rows @0 :List(Row);
  points @1 :List(Point) = [(x = 4)];
  numbers @2 :List(Int32) = [5, 6];
  struct Row {
    numbers @0 :List(Int32) = [1, 2, 3];
    points @1 :List(Point) = [(x = 4)];
    words @2 :List(Text) = ["a", "a word that is longer than a view"];
    point @3 :Point = (x = 4);
    chain @4 :Chain = (value = 1, next = (value = 2));
    union {
      chosen @5 :List(Int8) = [9];
      none @6 :Void;
    }
  }
}

struct NewDefaults {
  rows @0 :List(Row);
  struct Row {
    id @0 :UInt16;
    numbers @1 :List(Int32) = [1];
  }
}
