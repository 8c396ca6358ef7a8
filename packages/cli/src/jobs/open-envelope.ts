/** An envelope from a file or a mailbox, read without believing any of it: what it says, and whose signatures it carries. */
import {
  digestOfPayload,
  jobKind,
  parseEnvelope,
  parsePayload,
  parseSshsig,
  signatureNamespaces,
} from '@felhom/protocol';
import type { Digest, Job, SignatureNamespace, TrustDocument, Versioned } from '@felhom/protocol';
import { CliError, exitCodes } from '../io.ts';
import type { Machine } from '../io.ts';
import { personOf } from '../signing/may-sign.ts';
import { isSignatureOver } from '../signing/ssh-keygen.ts';

export interface OpenedEnvelope<T> {
  readonly value: T;
  /** Exactly the bytes that are signed. */
  readonly payload: Uint8Array;
  readonly digest: Digest;
  readonly signatures: readonly OpenedSignature[];
}

export interface OpenedSignature {
  readonly armoured: string;
  /** `undefined`: no signature that OpenSSH would write for one of our key types and this namespace. */
  readonly fingerprint: string | undefined;
  readonly touched: boolean | undefined;
}

export function openEnvelope<T>(text: string, kind: Versioned<T>, what: string): OpenedEnvelope<T> {
  const parsed = parseEnvelope(text.trim());
  const opened = parsed.is === 'ok' ? parsePayload(kind, parsed.value.payload) : parsed;
  if (parsed.is !== 'ok' || opened.is !== 'ok')
    throw new CliError(
      exitCodes.failed,
      'envelope.unreadable',
      `cannot read ${what}: ${opened.is === 'ok' ? '' : opened.text}`,
      'make it again; nothing was signed or sent',
    );
  const { payload, envelope } = parsed.value;
  return {
    value: opened.value,
    payload,
    digest: digestOfPayload(payload),
    signatures: envelope.signatures.map(readSignature),
  };
}

export const openJob = (text: string, what: string): OpenedEnvelope<Job> => openEnvelope(text, jobKind, what);

/** `undefined` for what does not read as a job: a mailbox may hold anything. */
export function tryOpenJob(text: string): OpenedEnvelope<Job> | undefined {
  try {
    return openJob(text, 'envelope');
  } catch (error) {
    if (error instanceof CliError) return undefined;
    throw error;
  }
}

function readSignature(armoured: string): OpenedSignature {
  const signature = parseSshsig(armoured);
  return { armoured, fingerprint: signature?.key.fingerprint, touched: signature?.touch?.present };
}

export interface CheckedSignature extends OpenedSignature {
  readonly verdict: 'good' | 'bad';
  /** Whose it is by the trust document of the host, where that is known. */
  readonly principal: string | undefined;
}

/** Has OpenSSH check every signature over the payload, and looks up whose keys they are. */
export async function checkSignatures(
  machine: Machine,
  opened: Pick<OpenedEnvelope<unknown>, 'payload' | 'signatures'>,
  namespace: SignatureNamespace = signatureNamespaces.job,
  trust?: TrustDocument,
  at = 0,
): Promise<readonly CheckedSignature[]> {
  const checked: CheckedSignature[] = [];
  for (const signature of opened.signatures) {
    const good =
      signature.fingerprint !== undefined &&
      (await isSignatureOver(machine, namespace, opened.payload, signature.armoured));
    const principal =
      signature.fingerprint === undefined
        ? undefined
        : personOf(trust, signature.fingerprint, namespace, at)?.principal;
    checked.push({ ...signature, verdict: good ? 'good' : 'bad', principal });
  }
  return checked;
}

export function renderSignatures(signatures: readonly CheckedSignature[]): string {
  if (signatures.length === 0) return 'Nobody has signed it.\n';
  return signatures
    .map(({ fingerprint, verdict, principal, touched }) => {
      const key = fingerprint ?? 'a signature that cannot be read';
      const who = principal === undefined ? '' : `${principal}, `;
      const touch = touched === undefined ? '' : touched ? ', touched' : ', not touched';
      return `  ${verdict === 'good' ? 'signed by' : 'WRONG signature of'} ${who}${key}${touch}\n`;
    })
    .join('');
}
