/** Plays the tricks that it is told to, one after the other, beside other processes that do the same. */
import { tricks } from './catalog.ts';
import { runTrick } from './run-trick.ts';

const [folder = ''] = process.argv.slice(2);

process.on('message', (at: number) => {
  const trick = tricks[at];
  if (trick === undefined) throw new Error(`there is no trick ${at}`);
  void runTrick(trick, folder).then((verdict) => process.send?.({ at, verdict }));
});
// Whoever sent for it is gone.
process.on('disconnect', () => process.exit(0));
