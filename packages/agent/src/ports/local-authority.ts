/** The agent's own certificate authority for the local API: guests pin its key, whatever certificate it shows. */
export interface LocalAuthority {
  /** PEM of the CAs that guests should trust now: the present one, and while it changes the next. */
  readonly trusted: () => readonly string[];
  /** SHA-256 of the present CA's public key (SPKI), hex: what a claim carries [R28]. */
  readonly spkiSha256: () => string;
}
