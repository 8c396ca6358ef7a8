/** `.felhom.yml` of a stack: which of its folders hold what, and how the stack is looked after. */
import { describeIssues } from '@felhom/protocol';
import { parse } from 'yaml';
import { z } from 'zod';

const guestPath = z
  .string()
  .max(200)
  .regex(/^\/(?:[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*)?$/, 'an absolute path of plain names')
  .refine((path) => !path.split('/').includes('..') && !path.split('/').includes('.'), 'no . and no ..');

const felhomFile = z.strictObject({
  v: z.literal(1),
  app: z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/),
  volumes: z
    .array(
      z.strictObject({
        path: guestPath,
        /** `hot`: databases and the like, on fast storage. `bulk`: large files, outside the guest's backups. */
        kind: z.enum(['hot', 'bulk']),
      }),
    )
    .max(32)
    .default([]),
});
export type FelhomFile = z.output<typeof felhomFile>;

export type ReadFelhomFile =
  { readonly is: 'ok'; readonly value: FelhomFile } | { readonly is: 'invalid'; readonly text: string };

export const longestFelhomFile = 65_536;

export function parseFelhomFile(text: string): ReadFelhomFile {
  let raw: unknown;
  try {
    raw = parse(text, { maxAliasCount: 0 });
  } catch {
    return { is: 'invalid', text: 'cannot read .felhom.yml: it is not YAML' };
  }
  const parsed = felhomFile.safeParse(raw);
  if (parsed.success) return { is: 'ok', value: parsed.data };
  return { is: 'invalid', text: `cannot read .felhom.yml: ${describeIssues(parsed.error)}` };
}
