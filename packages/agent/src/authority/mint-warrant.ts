/**
 * Where warrants come from. For provenance alone, which has just compared what may be freed with what is there: the
 * door of this room does not export it, and a test refuses any other import.
 */
import type { Warrant } from './warrant.ts';

/** All fields but the brand, which exists in the type only. */
type Unminted<W extends Warrant> = { readonly [K in keyof W as K extends string ? K : never]: W[K] };

export function mint<W extends Warrant>(fields: Unminted<W>): W {
  return Object.freeze({ ...fields }) as unknown as W;
}
