/**
 * Which image may run, by the keys that the golden image carries: the host offers, the supervisor decides [R17]. Reads
 * OpenSSH's `allowed_signers` form, so that the file can be checked with `ssh-keygen -Y verify` as well.
 */
import { createHash, createPublicKey, verify } from 'node:crypto';
import {
  compareVersions,
  decodeBase64,
  parsePayload,
  parsePublicKey,
  parseSshsig,
  releaseManifestKind,
  signatureNamespaces,
  sshsigSignedData,
} from '@felhom/protocol';
import type { DesiredController, SshPublicKey, Sshsig } from '@felhom/protocol';

export type ControllerImage = NonNullable<DesiredController['image']>;

export interface ReleaseSigners {
  readonly keys: readonly { readonly principal: string; readonly key: SshPublicKey }[];
  /** How many different principals must have signed. */
  readonly threshold: number;
}

export type ReleaseVerdict = { readonly is: 'may-run' } | { readonly is: 'refused'; readonly text: string };

/** What ran here before, with the version that its manifest gave it. */
export interface Known {
  readonly digest: string;
  readonly version: string;
}

/** Lines that are none, or are for another namespace, are left out. `# threshold: 2` asks for two principals. */
export function parseReleaseSigners(text: string): ReleaseSigners {
  const lines = text.split('\n').map((line) => line.trim());
  const threshold = Number(lines.map((line) => /^# threshold: ([1-8])$/.exec(line)?.[1]).find((found) => found) ?? 1);
  const keys = lines.flatMap((line) => {
    const match = /^([A-Za-z0-9._@-]+) (?:namespaces="([^"]*)" )?(\S+ \S+)/.exec(line);
    const key = match === null ? undefined : parsePublicKey(match[3] ?? '');
    if (match === null || key === undefined) return [];
    const namespaces = match[2]?.split(',') ?? [signatureNamespaces.release];
    return namespaces.includes(signatureNamespaces.release) ? [{ principal: match[1] ?? '', key }] : [];
  });
  return { keys, threshold };
}

/**
 * Pure. `going`: `back` to what ran here before, which no expiry and no newer version forbids; `on` to anything else.
 * `highest`: the highest version that ever ran here.
 */
export function judgeImage(
  image: ControllerImage,
  signers: ReleaseSigners,
  {
    going,
    highest,
    known,
    now,
  }: {
    readonly going: 'on' | 'back';
    readonly highest: string | undefined;
    readonly known: readonly Known[];
    readonly now: number;
  },
): ReleaseVerdict {
  const refused = (why: string): ReleaseVerdict => ({ is: 'refused', text: `cannot run ${image.version}: ${why}` });
  const payload = decodeBase64(image.release.payload);
  if (payload === undefined) return refused('its manifest is not plain base64');
  const people = new Set(image.release.signatures.flatMap((one) => signerOf(one, payload, signers) ?? []));
  if (people.size < signers.threshold)
    return refused(`${people.size} of ${signers.threshold} signatures over its manifest are by keys of this image`);
  const parsed = parsePayload(releaseManifestKind, payload);
  if (parsed.is !== 'ok') return refused(parsed.text);
  const manifest = parsed.value;
  if (manifest.product !== 'controller' || manifest.role !== image.role)
    return refused('its manifest is for something else');
  if (manifest.version !== image.version) return refused(`its manifest is for ${manifest.version}`);
  if (!manifest.digests.includes(image.digest)) return refused('its digest is not in its manifest');
  const ranHere = known.some(({ digest, version }) => digest === image.digest && version === image.version);
  if (going === 'back')
    return ranHere ? { is: 'may-run' } : refused('it never ran here, so there is no way back to it');
  if (highest !== undefined && compareVersions(image.version, highest) < 0)
    return refused(`${highest} ran here already, and there is no way back by a new order`);
  if (ranHere) return { is: 'may-run' };
  if (now >= manifest.expiresAt) return refused('its manifest has expired');
  if (manifest.minFrom !== undefined && highest !== undefined && compareVersions(highest, manifest.minFrom) < 0)
    return refused(`it may be reached from ${manifest.minFrom} on, here ${highest} ran last`);
  return { is: 'may-run' };
}

function signerOf(armoured: string, payload: Uint8Array, { keys }: ReleaseSigners): string | undefined {
  const signature = parseSshsig(armoured);
  if (signature === undefined || signature.namespace !== signatureNamespaces.release) return undefined;
  const signer = keys.find(({ key }) => key.line === signature.key.line);
  return signer !== undefined && isBy(signature, payload) ? signer.principal : undefined;
}

/** PROTOCOL.sshsig, and for FIDO2 keys PROTOCOL.u2f. */
function isBy(signature: Sshsig, payload: Uint8Array): boolean {
  const message = sshsigSignedData(signature.namespace, payload, signature.hash);
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), signature.key.raw]);
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  if (signature.touch === undefined) return verify(null, message, key, signature.signature);
  const { present, userVerified, counter } = signature.touch;
  // Without a touch somebody else's program signed.
  if (!present) return false;
  const said = Buffer.alloc(5);
  said.writeUInt8(0x01 | (userVerified ? 0x04 : 0));
  said.writeUInt32BE(counter, 1);
  const digestOf = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest();
  return verify(
    null,
    Buffer.concat([digestOf(signature.key.application ?? ''), said, digestOf(message)]),
    key,
    signature.signature,
  );
}
