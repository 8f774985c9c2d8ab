def show(results, console):
    console.print(results)
