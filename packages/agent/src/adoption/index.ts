/**
 * Adoption: guests that were there before this agent, or before its journal, come under its care [R36].
 *
 * Owns the list of guests in our range that are not ours, and the saga that makes one of them ours on a signature.
 * Never changes more of it than the one line in its notes, never makes, starts or destroys anything.
 * Read in this order: strangers, adopt.saga, re-register.
 */
export { adoptGuest } from './adopt.saga.ts';
export type { AdoptParams } from './adopt.saga.ts';
export { cannotReRegister } from './re-register.ts';
export { strangersOf } from './strangers.ts';
export type { StrangersInput } from './strangers.ts';
