/**
 * Releases of a controller image on a stage. Where there is no Docker an image is the program that would be in it, and its
 * digest stands for its bytes; the manifest, the signature and all that is verified are real.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Stage } from './stage.ts';

/** What guests of the lab are to run. */
export const controllerRole = 'controller';

const day = 86_400_000;

export const imageOf = (version: string): string =>
  createHash('sha256').update(`felhom lab controller ${version}`).digest('hex');

/** Carol signs it with her real key, and it goes into the host's mailbox. Answers the file of the envelope. */
export async function publishController(stage: Stage, version: string): Promise<string> {
  const now = Date.now();
  const file = join(stage.place.folder, `controller-${version}.json`);
  const manifest = {
    v: 1,
    product: 'controller',
    role: controllerRole,
    version,
    digests: [imageOf(version)],
    issuedAt: now - day,
    expiresAt: now + day,
    rollout: { salt: '0123456789abcdef', starts: [{ percent: 100, at: now - day }] },
  };
  writeFileSync(file, JSON.stringify(manifest));
  const signed = await stage.felhomAs('carol', ['release', 'sign', file, '--yes']);
  if (signed.code !== 0) throw new Error(`cannot sign a release: ${signed.err}${signed.out}`);
  const envelope = `${file}.signed.json`;
  await stage.mail(readFileSync(envelope, 'utf8').trim());
  return envelope;
}
