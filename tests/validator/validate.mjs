// node validate.mjs FILE... - prints one JSON object: {file: {errors, warnings, infos, hints, messages}}.
import fs from 'node:fs';
import { validateBytes } from 'gltf-validator';

const reports = {};
for (const file of process.argv.slice(2)) {
  const { issues } = await validateBytes(new Uint8Array(fs.readFileSync(file)), { maxIssues: 50 });
  reports[file] = {
    errors: issues.numErrors,
    warnings: issues.numWarnings,
    infos: issues.numInfos,
    hints: issues.numHints,
    messages: issues.messages.map(({ code, message, pointer }) => `${code}: ${message} (${pointer ?? ''})`),
  };
}
console.log(JSON.stringify(reports));
