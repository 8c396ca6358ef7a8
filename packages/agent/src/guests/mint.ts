/** Ids that the agent draws itself. */
import type { GuestUid } from '@felhom/protocol';
import type { Random } from '../kernel/clock.ts';

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** RFC 4648 base32 in lower case, without padding. */
export function base32(bytes: Uint8Array): string {
  let out = '';
  let [buffer, bits] = [0, 0];
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      out += alphabet[(buffer >>> bits) & 31];
    }
    buffer &= (1 << bits) - 1;
  }
  return bits === 0 ? out : out + alphabet[(buffer << (5 - bits)) & 31];
}

export const mintUid = (random: Random): GuestUid => base32(random.bytes(16)) as GuestUid;

/** 80 bits: unguessable enough that an archive cannot hold one in advance. */
export const mintMarker = (random: Random): string => base32(random.bytes(10));
