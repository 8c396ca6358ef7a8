/** Verifying operators' signatures. The one adapter runs OpenSSH's `ssh-keygen -Y verify`; the simulation has its own. */
import type { Reason, SignatureNamespace } from '@felhom/protocol';

export interface SignatureQuestion {
  readonly payload: Uint8Array;
  /** Armoured SSHSIG. */
  readonly signature: string;
  /** Asked for by name: a signature is by this person or it is not. */
  readonly principal: string;
  readonly namespace: SignatureNamespace;
  /** Text of an `allowed_signers` file. */
  readonly allowedSigners: string;
  /** Public keys whose signatures are void, one per line. */
  readonly revoked: string;
  /** Wall time at which the signature has to be valid, milliseconds since the epoch. */
  readonly at: number;
}

export type SignatureAnswer =
  | { readonly is: 'valid' }
  | { readonly is: 'invalid'; readonly text: string }
  /** The program is missing or died: nothing is known about the signature. */
  | { readonly is: 'unknown'; readonly why: Reason };

export interface SignatureVerifier {
  verify(question: SignatureQuestion, signal: AbortSignal): Promise<SignatureAnswer>;
}

/** The host's own Ed25519 key [R10]. Only its public half ever leaves this port. */
export interface HostKey {
  /** `ssh-ed25519 <base64>`. */
  readonly publicLine: string;
  /** `SHA256:…`, what the operator pins. */
  readonly fingerprint: string;
  /** Armoured SSHSIG over the message. */
  sign(namespace: SignatureNamespace, message: Uint8Array): string;
}
