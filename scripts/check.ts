/** `npm run check`: everything that needs no running world. */
import { checkStages, runStages } from './stages.ts';

await runStages(checkStages);
