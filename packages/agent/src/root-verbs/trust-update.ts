/**
 * A signed change of trust, on root's side. Believes nobody: the envelope is verified again here, under the document that
 * lies in the root-owned file, by the same rules the agent used [R13]. One at a time; the helper sees to that.
 */
import { digestOfTrust, jobKind, parseEnvelope, parsePayload, signatureNamespaces } from '@felhom/protocol';
import type { HostId, Job, TrustDocument } from '@felhom/protocol';
import type { SignatureVerifier } from '../ports/signatures.ts';
import type { TrustStore } from '../ports/trust-store.ts';
import { applyTrustChange, isApplied, verifyEnvelope } from '../trust/index.ts';
import type { TrustJob } from '../trust/index.ts';
import { replaceTrustFile } from './trust-file-write.ts';

export interface TrustUpdateOptions {
  /** The root-owned file. */
  readonly file: string;
  /** Reads the same file, and refuses it where others may write it. */
  readonly trust: TrustStore;
  readonly verifier: SignatureVerifier;
  readonly host: HostId;
  /** Wall time, milliseconds since the epoch. */
  readonly now: number;
}

export type TrustUpdateAnswer =
  | { readonly is: 'done'; readonly version: number }
  /** Nothing was changed, and the same envelope will not change anything later. */
  | { readonly is: 'refused'; readonly text: string }
  /** Nothing was changed; it may work when asked again. */
  | { readonly is: 'busy'; readonly text: string };

/**
 * The same envelope twice does the work once. Throws what the disk throws; the old document then is still in force, except
 * where the text says that the new one cannot be read back.
 */
export async function trustUpdate(
  options: TrustUpdateOptions,
  envelopeText: string,
  signal: AbortSignal,
): Promise<TrustUpdateAnswer> {
  const { trust, verifier, host, now } = options;
  const held = trust.read();
  if (held.is === 'none') return refused('this host trusts nobody yet; the first trust is typed on the host itself');
  if (held.is === 'unreadable') return { is: 'busy', text: held.why.text };
  if (held.document.host !== host)
    return refused(`the trust document is for ${held.document.host}, this host is ${host}`);
  const opened = parseEnvelope(envelopeText);
  if (opened.is !== 'ok') return refused(opened.text);
  const { payload } = opened.value;
  const { signatures } = opened.value.envelope;
  const job = trustJobOf(payload);
  // Who signed may be gone from the new document; there is nothing left to allow.
  if (job.is === 'job' && isApplied(held.document, job.job)) return { is: 'done', version: held.document.version };
  const verified = await verifyEnvelope(
    { verifier },
    { payload, signatures, document: held.document, namespace: signatureNamespaces.job, at: now },
    signal,
  );
  if (verified.is === 'refused') return refused(verified.why.text);
  if (verified.is === 'unknown') return { is: 'busy', text: verified.why.text };
  if (job.is === 'other') return refused(job.text);
  const change = applyTrustChange(held.document, job.job, verified.people, now);
  if (change.is === 'refused') return refused(change.why.text);
  const still = trust.read();
  if (still.is !== 'held' || still.digest !== held.digest)
    return { is: 'busy', text: 'cannot change trust: the document changed in the same moment' };
  replaceTrustFile(options.file, change.document);
  return written(trust, change.document);
}

/** Read here to recognise a repeat; nothing is done for it before its signatures were verified. */
function trustJobOf(
  payload: Uint8Array,
): { readonly is: 'job'; readonly job: TrustJob } | { readonly is: 'other'; readonly text: string } {
  const parsed = parsePayload<Job>(jobKind, payload);
  if (parsed.is !== 'ok') return { is: 'other', text: parsed.text };
  const { kind } = parsed.value;
  if (kind === 'trust-change' || kind === 'floor-change') return { is: 'job', job: parsed.value };
  return { is: 'other', text: `cannot change trust: the job is ${kind}` };
}

/** What was written must be what the agent will read. */
function written(trust: TrustStore, document: TrustDocument): TrustUpdateAnswer {
  const read = trust.read();
  if (read.is === 'held' && read.digest === digestOfTrust(document)) return { is: 'done', version: document.version };
  // Not "busy", which would say that nothing was changed.
  const found = read.is === 'unreadable' ? read.why.text : 'the file says something else';
  throw new Error(`cannot tell whether trust was changed: version ${document.version} was written, and ${found}`);
}

const refused = (text: string): TrustUpdateAnswer => ({
  is: 'refused',
  text: text.startsWith('cannot ') ? text : `cannot change trust: ${text}`,
});
