;; Finds a byte, or two bytes at a distance, 64 places at a time.
;; Built into _scan_wasm.ts by _tools/build_scan.ts.
(module
  ;; 64 KiB to look through, 256 bytes to read over, and 64 Ki offsets. Pages that are
  ;; added hold buffers that are looked through where they lie.
  (memory (export "memory") 6)

  ;; Notes `at` plus the place of each bit of `mask` from `out` on; returns where
  ;; the next note goes.
  (func $note (param $at i32) (param $mask i64) (param $out i32) (result i32)
    (loop $bit
      (i32.store
        (local.get $out)
        (i32.add (local.get $at) (i32.wrap_i64 (i64.ctz (local.get $mask)))))
      (local.set $out (i32.add (local.get $out) (i32.const 4)))
      ;; Clears the lowest bit.
      (local.set $mask
        (i64.and
          (local.get $mask)
          (i64.sub (local.get $mask) (i64.const 1))))
      (br_if $bit (i64.ne (local.get $mask) (i64.const 0))))
    (local.get $out))

  ;; One bit for each of 64 places that match, from four times 16.
  (func $mask (param v128 v128 v128 v128) (result i64)
    (i64.or
      (i64.or
        (i64.extend_i32_u (i8x16.bitmask (local.get 0)))
        (i64.shl (i64.extend_i32_u (i8x16.bitmask (local.get 1))) (i64.const 16)))
      (i64.or
        (i64.shl (i64.extend_i32_u (i8x16.bitmask (local.get 2))) (i64.const 32))
        (i64.shl (i64.extend_i32_u (i8x16.bitmask (local.get 3))) (i64.const 48)))))

  ;; Notes each place of the first `length` bytes where `byte` stands. Returns how
  ;; many there are.
  (func (export "scanByte") (param $byte i32) (param $length i32) (result i32)
    (local $at i32) (local $out i32) (local $bytes v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $bytes (i8x16.splat (local.get $byte)))
    (local.set $out (i32.const 65792))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $length)))
        (local.set $a (i8x16.eq (v128.load offset=0 (local.get $at)) (local.get $bytes)))
        (local.set $b (i8x16.eq (v128.load offset=16 (local.get $at)) (local.get $bytes)))
        (local.set $c (i8x16.eq (v128.load offset=32 (local.get $at)) (local.get $bytes)))
        (local.set $d (i8x16.eq (v128.load offset=48 (local.get $at)) (local.get $bytes)))
        (if (v128.any_true
              (v128.or
                (v128.or (local.get $a) (local.get $b))
                (v128.or (local.get $c) (local.get $d))))
          (then
            (local.set $out
              (call $note
                (local.get $at)
                (call $mask (local.get $a) (local.get $b) (local.get $c) (local.get $d))
                (local.get $out)))))
        (local.set $at (i32.add (local.get $at) (i32.const 64)))
        (br $next)))
    (i32.shr_u (i32.sub (local.get $out) (i32.const 65792)) (i32.const 2)))

  ;; The first place from `at` on where `byte` stands; `end` or more if there is none
  ;; before `end`.
  (func (export "findByte")
    (param $byte i32) (param $at i32) (param $end i32) (result i32)
    (local $bytes v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $bytes (i8x16.splat (local.get $byte)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $a (i8x16.eq (v128.load offset=0 (local.get $at)) (local.get $bytes)))
        (local.set $b (i8x16.eq (v128.load offset=16 (local.get $at)) (local.get $bytes)))
        (local.set $c (i8x16.eq (v128.load offset=32 (local.get $at)) (local.get $bytes)))
        (local.set $d (i8x16.eq (v128.load offset=48 (local.get $at)) (local.get $bytes)))
        (if (v128.any_true
              (v128.or
                (v128.or (local.get $a) (local.get $b))
                (v128.or (local.get $c) (local.get $d))))
          (then
            (return
              (i32.add
                (local.get $at)
                (i32.wrap_i64
                  (i64.ctz
                    (call $mask (local.get $a) (local.get $b) (local.get $c) (local.get $d))))))))
        (local.set $at (i32.add (local.get $at) (i32.const 64)))
        (br $next)))
    (local.get $end))

  ;; Notes each place of the first `length` bytes where `first` stands, and `last`
  ;; stands `distance` bytes behind it. Returns how many there are.
  (func (export "scanPair")
    (param $first i32) (param $last i32) (param $distance i32) (param $length i32)
    (result i32)
    (local $at i32) (local $out i32) (local $ahead i32)
    (local $firsts v128) (local $lasts v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $firsts (i8x16.splat (local.get $first)))
    (local.set $lasts (i8x16.splat (local.get $last)))
    (local.set $out (i32.const 65792))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $length)))
        (local.set $ahead (i32.add (local.get $at) (local.get $distance)))
        (local.set $a (v128.and
          (i8x16.eq (v128.load offset=0 (local.get $at)) (local.get $firsts))
          (i8x16.eq (v128.load offset=0 (local.get $ahead)) (local.get $lasts))))
        (local.set $b (v128.and
          (i8x16.eq (v128.load offset=16 (local.get $at)) (local.get $firsts))
          (i8x16.eq (v128.load offset=16 (local.get $ahead)) (local.get $lasts))))
        (local.set $c (v128.and
          (i8x16.eq (v128.load offset=32 (local.get $at)) (local.get $firsts))
          (i8x16.eq (v128.load offset=32 (local.get $ahead)) (local.get $lasts))))
        (local.set $d (v128.and
          (i8x16.eq (v128.load offset=48 (local.get $at)) (local.get $firsts))
          (i8x16.eq (v128.load offset=48 (local.get $ahead)) (local.get $lasts))))
        (if (v128.any_true
              (v128.or
                (v128.or (local.get $a) (local.get $b))
                (v128.or (local.get $c) (local.get $d))))
          (then
            (local.set $out
              (call $note
                (local.get $at)
                (call $mask (local.get $a) (local.get $b) (local.get $c) (local.get $d))
                (local.get $out)))))
        (local.set $at (i32.add (local.get $at) (i32.const 64)))
        (br $next)))
    (i32.shr_u (i32.sub (local.get $out) (i32.const 65792)) (i32.const 2))))
