// SPDX-License-Identifier: Apache-2.0
// A job type of Flamenco 3: one take for each shot of a folder, by `ex4d run`. Put this file into the Manager's folder
// `scripts`; its name is the name of the job type. What the settings mean: docs/farms.md.

const JOB_TYPE = {
    label: "EX-4D Shots",
    description: "One take for each shot of a folder, by ex4d run",
    settings: [
        {
            key: "shots_folder", type: "string", subtype: "dir_path", required: true, visible: "visible",
            label: "Folder of Shots",
            description: "Folder that all workers see under this name; each shot is a folder with shot.json in it",
        },
        {
            key: "shots", type: "string", required: true, visible: "visible", label: "Shots",
            eval: "', '.join(sorted(p.parent.name for p in Path(abspath(settings.shots_folder)).glob('*/shot.json')))",
            evalInfo: { showLinkButton: true, description: "All shots of the folder" },
            description: "Names of the shots, separated by commas",
        },
        {
            key: "windows", type: "int32", default: 1, propargs: { min: 1, max: 64 }, visible: "visible",
            label: "Windows a Shot",
            description: "Tasks that a long shot is cut into, one behind the other; 1 makes shots whole",
        },
        {
            key: "options", type: "string", default: "", visible: "visible", label: "Further Options",
            description: "Options of ex4d run for all shots, such as --seed 3 --again; they go before those of the shots",
        },
        {
            key: "task_type", type: "string", default: "blender", visible: "submission", label: "Task Type",
            description: "Workers that take this type of task make the shots",
        },
        {
            key: "command", type: "string", default: "ex4d", visible: "submission", label: "Command",
            description: "The program as workers find it, or a variable of the Manager such as {ex4d}",
        },
    ],
};

function compileJob(job) {
    const settings = job.settings;
    const names = shotNames(settings.shots);
    const windows = settings.windows || 1;
    const options = shellSplit(settings.options || "");
    for (const name of names) {
        let before = null;
        for (let window = 1; window <= windows; window++) {
            const whole = window === windows; // the last task of a chain makes the take
            const task = author.Task(whole ? name : `${name} window ${window}`, settings.task_type || "blender");
            const stage = whole ? [] : ["--windows", `${window}`];
            task.addCommand(author.Command("exec", {
                exe: settings.command || "ex4d",
                args: ["run", path.join(settings.shots_folder, name)].concat(stage, options),
            }));
            if (before !== null) task.addDependency(before);
            job.addTask(task);
            before = task;
        }
    }
}

// The shots that are asked for. A name that leads out of the folder is refused: tasks run with the workers' rights.
function shotNames(text) {
    const names = (text || "").split(/[,\n]/).map(name => name.trim()).filter(name => name !== "");
    if (names.length === 0) throw new Error("No shots are named: fill in Shots, or use the button beside it.");
    for (const name of names) {
        if (name === "." || name === ".." || /[\/\\]/.test(name)) {
            throw new Error(`${name} is no name of a shot: shots are folders in the folder of shots.`);
        }
    }
    if (new Set(names).size !== names.length) throw new Error("A shot is named twice.");
    return names;
}
