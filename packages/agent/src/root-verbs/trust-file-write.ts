/** Writing the trust document, so that no crash leaves half of one. */
import { linkSync, renameSync } from 'node:fs';
import type { TrustDocument } from '@felhom/protocol';
import { writeTrustText } from '../trust/index.ts';
import { placeFile } from './durable-file.ts';

/** The agent reads it as an ordinary user. */
const mode = 0o644;

/** Puts the document in the place of the present one. Throws what the disk throws; then the present one stays. */
export function replaceTrustFile(file: string, document: TrustDocument): void {
  placeFile(file, writeTrustText(document), mode, (draft) => renameSync(draft, file));
}

/** The first document; throws `EEXIST` where there is one. */
export function writeFirstTrustFile(file: string, document: TrustDocument): void {
  placeFile(file, writeTrustText(document), mode, (draft) => linkSync(draft, file));
}
