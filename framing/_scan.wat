;; Finds a byte, or two bytes at a distance, 16 places at a time.
;; Built into _scan_wasm.ts by _tools/build_scan.ts.
(module
  ;; 64 KiB to look through, 128 bytes to read over, and 64 Ki offsets.
  (memory (export "memory") 6)

  ;; Notes each place of the first `length` bytes where `first` stands, and `last`
  ;; stands `distance` bytes behind it. Returns how many there are.
  (func (export "scan")
    (param $first i32) (param $last i32) (param $distance i32) (param $length i32)
    (result i32)
    (local $at i32) (local $out i32) (local $mask i32)
    (local $firsts v128) (local $lasts v128)
    (local.set $firsts (i8x16.splat (local.get $first)))
    (local.set $lasts (i8x16.splat (local.get $last)))
    (local.set $out (i32.const 65664))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $length)))
        ;; One bit for each place that matches.
        (local.set $mask
          (i8x16.bitmask
            (v128.and
              (i8x16.eq
                (v128.load (local.get $at))
                (local.get $firsts))
              (i8x16.eq
                (v128.load (i32.add (local.get $at) (local.get $distance)))
                (local.get $lasts)))))
        (block $noted
          (loop $bit
            (br_if $noted (i32.eqz (local.get $mask)))
            (i32.store
              (local.get $out)
              (i32.add (local.get $at) (i32.ctz (local.get $mask))))
            (local.set $out (i32.add (local.get $out) (i32.const 4)))
            ;; Clears the lowest bit.
            (local.set $mask
              (i32.and
                (local.get $mask)
                (i32.sub (local.get $mask) (i32.const 1))))
            (br $bit)))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $next)))
    (i32.shr_u
      (i32.sub (local.get $out) (i32.const 65664))
      (i32.const 2))))
