@0xbf4e6c1f0a3d7e52;

struct People {
  people @0 :List(Person);

  struct Person {
    id @0 :UInt64;
    name @1 :Text;
    email @2 :Text;
  }
}

struct Chunks {
  chunks @0 :List(Chunk);

  struct Chunk {
    data @0 :Data;
  }
}
