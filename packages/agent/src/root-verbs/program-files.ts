/** Whoever can write the program that root runs is root. Nothing here helps against that; it helps against a slip. */
import { dirname } from 'node:path';
import type { Reason } from '@felhom/protocol';
import { exposureOf } from '../trust/index.ts';
import type { FileFacts } from '../trust/index.ts';

/** Looks at each file and at every folder above it. Errors: `trust.exposed`. `undefined`: all is root's. */
export function exposedProgram(
  files: readonly string[],
  factsOf: (path: string) => FileFacts,
  rootUid: number,
): Reason | undefined {
  for (const file of files)
    for (let path = file; path !== dirname(path); path = dirname(path)) {
      const exposed = exposureOf(path, factsOf(path), factsOf(dirname(path)), [rootUid]);
      if (exposed !== undefined) return exposed;
    }
  return undefined;
}
