/**
 * Signatures are verified by OpenSSH's own `ssh-keygen -Y verify`: the adapter of `ports/signatures.ts`.
 *
 * Owns how the program is called. Never decides whose signature counts for what: that is the trust room's.
 * Read in this order: verifier, sealed-file.
 */
export { createSshKeygenVerifier } from './verifier.ts';
export type { SshKeygenOptions } from './verifier.ts';
