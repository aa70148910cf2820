// Types decide most of it; the rest holds the borders between packages. Formatting is prettier's alone.
import { defineConfig, globalIgnores } from 'eslint/config';
import { createNodeResolver, importX } from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';

const byPath = {
  regex: String.raw`^\.\.?/(.*/)?(worker|server|bench|supervisor)/(src|dist)/`,
  message: 'A package reaches another by its name, through its exports.',
};

/** In `folder`, of our own packages only those in `allowed` may be imported (exact specifiers). */
function border(folder, allowed) {
  const others = {
    regex: `^@supervisor/(?!(${allowed.map((name) => name.replace('@supervisor/', '')).join('|')})$)`,
    message: `${folder} may import ${allowed.length > 0 ? `only ${allowed.join(', ')}` : 'nothing'} of this repository.`,
  };
  return {
    files: [`${folder}/**/*.ts`],
    rules: { 'no-restricted-imports': ['error', { patterns: [byPath, others] }] },
  };
}

export default defineConfig(
  globalIgnores(['**/dist/**', '**/node_modules/**', '**/*.generated.*', 'results/**']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': [
        'error',
        // The runner itself awaits them.
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['test', 'it', 'describe', 'suite'] },
          ],
        },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true, allowNullish: true },
      ],
      // `async` with nothing to await keeps an interface; the callers are what counts.
      '@typescript-eslint/require-await': 'off',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
    },
  },
  {
    files: ['**/*.ts'],
    plugins: { 'import-x': importX },
    settings: {
      'import-x/extensions': ['.ts', '.js'],
      'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] },
      // `./a.js` in a TypeScript source means `./a.ts`.
      'import-x/resolver-next': [createNodeResolver({ extensionAlias: { '.js': ['.ts', '.js'] } })],
    },
    rules: { 'import-x/no-cycle': ['error', { ignoreExternal: true }] },
  },
  border('packages/worker', []),
  border('packages/server', ['@supervisor/worker/protocol']),
  border('packages/bench', []),
  border('packages/supervisor', [
    '@supervisor/worker',
    '@supervisor/worker/protocol',
    '@supervisor/worker/main',
    '@supervisor/server',
    '@supervisor/bench',
  ]),
  // The end-to-end tests look from outside: no code of ours; the benchmarks also measure a worker alone.
  border('test', ['@supervisor/worker/protocol']),
  {
    // The protocol is bytes and nothing else: no I/O, nothing of ours.
    files: ['packages/worker/src/protocol/**/*.ts'],
    ignores: ['**/*.test.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: [{ regex: String.raw`^(?!\./)`, message: 'The protocol imports nothing but itself.' }] },
      ],
    },
  },
);
