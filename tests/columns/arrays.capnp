@0xc1d2a9b8e7f60514;

enum Color { red @0; green @1; blue @2; }

struct Numbers {
  i8 @0 :List(Int8);
  i16 @1 :List(Int16);
  i32 @2 :List(Int32);
  i64 @3 :List(Int64);
  u8 @4 :List(UInt8);
  u16 @5 :List(UInt16);
  u32 @6 :List(UInt32);
  u64 @7 :List(UInt64);
  f32 @8 :List(Float32);
  f64 @9 :List(Float64);
  colors @10 :List(Color);
  bools @11 :List(Bool);
  voids @12 :List(Void);
  texts @13 :List(Text);
  datas @14 :List(Data);
  matrix @15 :List(List(Float32));
  text @16 :Text;
  data @17 :Data;
  textWithDefault @18 :Text = "none";
  listWithDefault @19 :List(Int32) = [1, 2];
}

struct Row {
  id @0 :Int64;
  small @1 :Int8;
  ratio @2 :Float32 = 0.5;
  color @3 :Color;
  flag @4 :Bool;
  inverse @5 :Bool = true;
  name @6 :Text;
  blob @7 :Data;
  position :group {
    x @8 :Float64;
    y @9 :Float64;
    unit @10 :Text;
  }
  shape :union {
    none @11 :Void;
    circle @12 :Float64;
    label @13 :Text;
    box :group {
      width @14 :Float32;
      height @15 :Float32;
      kind :union {
        plain @16 :Void;
        code @17 :UInt16;
        remark @18 :Text;
      }
    }
  }
  union {
    empty @19 :Void;
    count @20 :UInt32;
    note @21 :Text;
  }
  tags @22 :List(Text);
  child @23 :Row;
  anything @24 :AnyPointer;
}

struct Holder(T) {
  item @0 :T;
  next @1 :Holder(T);
}

struct Root {
  numbers @0 :Numbers;
  rows @1 :List(Row);
  union {
    left @2 :List(Float64);
    right @3 :List(Int16);
    both :group {
      first @4 :List(UInt8);
      second @5 :List(UInt8);
    }
  }
  generic @6 :Holder(Row);
  which @7 :Int32;
  ones @8 :List(One);
  nests @9 :List(Nest);
}

struct Nest {
  id @0 :Int32;
  outer :union {
    b @1 :UInt64;
    a :group {
      k @2 :Int16;
      union {
        p @3 :Int32;
        q @4 :Float32;
      }
      flag @7 :Bool;
    }
    c @5 :UInt64;
    text @6 :Text;
    one @8 :One;
    ones :group {
      list @9 :List(One);
      data @10 :Data;
    }
  }
}

struct One {
  value @0 :Float64;
}
