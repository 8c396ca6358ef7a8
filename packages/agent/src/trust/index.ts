/**
 * Trust: whose signatures count on this host, what a signed change makes of that, and how old a signed job is.
 *
 * Owns the verdicts over envelopes, trust documents and release manifests, the host's own time, and the sagas that change
 * the document, a storage target or the tunnel by root's hand. Never runs a program, reads a file or decides what a job may do: that is the gate's.
 * Read in this order: verify-envelope (with allowed-signers), trust-change, decide-release, trusted-time,
 * trust-change.saga, target-change.saga, tunnel-change.saga; exposure and trust-file-text for whoever reads the file.
 */
export { allowedSignersText, revokedText } from './allowed-signers.ts';
export { verifyEnvelope } from './verify-envelope.ts';
export type { SignedBytes, VerifiedEnvelope } from './verify-envelope.ts';
export { applyTrustChange, isApplied, peopleForTrustChange, trustStanding } from './trust-change.ts';
export type { TrustChange, TrustJob, TrustStanding } from './trust-change.ts';
export { decideRelease } from './decide-release.ts';
export type { ReleasePlace, ReleaseVerdict } from './decide-release.ts';
export { challengeLifeMs, challengeWindowMs, createTrustedTime } from './trusted-time.ts';
export type { TimeStanding, TrustedTime, TrustedTimeParts } from './trusted-time.ts';
export { trustChange } from './trust-change.saga.ts';
export type { TrustChangeNeeds, TrustChangeParams } from './trust-change.saga.ts';
export { targetChange } from './target-change.saga.ts';
export type { TargetChangeNeeds, TargetChangeParams } from './target-change.saga.ts';
export { tunnelChange } from './tunnel-change.saga.ts';
export type { TunnelChangeNeeds, TunnelChangeParams } from './tunnel-change.saga.ts';
export { exposureOf } from './exposure.ts';
export type { FileFacts } from './exposure.ts';
export { largestTrustFileBytes, parseTrustText, writeTrustText } from './trust-file-text.ts';
