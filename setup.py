"""Puts configs/ into a wheel, as bcjax/configs; what else a wheel is, pyproject.toml says."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Copies the configs beside the modules; an editable install reads them where they are."""

    # The configs, and beside the published ones the spaces of their sweeps.
    configs = sorted(
        str(path) for path in Path("configs").glob("**/*") if path.suffix in (".py", ".yaml")
    )

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for config in self.configs:
                target = Path(self.build_lib, "bcjax", config)
                self.mkpath(str(target.parent))
                self.copy_file(config, str(target))

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *self.configs]  # for a source distribution


setup(cmdclass={"build_py": BuildWithConfigs})
