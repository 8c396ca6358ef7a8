/**
 * The host's own Ed25519 key [R10]: what a host says about itself is signed with it, and an operator pins its fingerprint.
 *
 * Owns signing. Never keeps the key anywhere: reading and making the file is `adapters/host-key-file`.
 */
export { createHostKey } from './host-key.ts';
